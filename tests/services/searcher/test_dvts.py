"""dvts: subtrees that have nothing to do with each other, each greedy."""

import pytest

from services.searcher.candidates import Candidate, Judgement
from services.searcher.growth import Growth
from services.searcher.strategies.dvts import dealt
from shared.contracts.tree import Verdict
from tests.services.searcher.fakes import ANSWER, EOS, SLIP2, STEP1, scripted, stage_of
from tests.services.searcher.growing import grown, subtree, wandering
from tests.services.searcher.test_rounds import growth_of

STARTS = [f"Step 1: idea {name}\n" for name in "abcdefgh"]


def going_on(so_far, number, draw):
    if not so_far:
        return STARTS[draw]
    step = so_far.count("\n") + 1
    sums = ["1 + 1 = 3", "1 + 1 = 2", "of more pens", "2 + 2 = 5"]  # incorrect, correct, unknown, incorrect
    return f"Step {step}: {sums[draw]}\n"


async def test_each_subtree_keeps_one_step_a_round(problem):
    tree, saved, endpoint = await grown(problem, going_on, stage_of(strategy="dvts", subtrees=2, max_depth=3))
    assert [request["n"] for request in endpoint.requests] == [8, 4, 4, 4, 4]  # one request a node, the first for all subtrees
    assert len(saved) == 3
    assert [len([node for node in tree.nodes if node.depth == depth and node.kept]) for depth in (1, 2, 3)] == [2, 2, 2]
    for node in tree.nodes:
        kept = [child for child in tree.children[node.id] if child.kept]
        assert len(kept) == (2 if node.id == 0 else 1 if tree.children[node.id] else 0)
        assert not tree.children[node.id] or node.kept
        if node.depth:
            assert not kept or kept[0].verdict is Verdict.CORRECT
    assert len(tree.nodes) == 1 + 8 + 2 * 4 + 2 * 4  # what was not kept stays


async def test_subtrees_are_independent(problem):
    stage = stage_of(strategy="dvts", width=2, subtrees=4, max_depth=4)

    def script(so_far, number, draw):
        return (
            STARTS[draw]
            if not so_far
            else wandering(["go on\n", "1 + 1 = 2\n", "1 + 2 = 4\n", "And so\n", ANSWER])(so_far, 0, draw)
        )

    def other(so_far, number, draw):
        return f"something else {draw}\n" if so_far.startswith(STARTS[1]) else script(so_far, number, draw)

    one, _, _ = await grown(problem, script, stage)
    two, _, _ = await grown(problem, other, stage)

    def elsewhere(path):
        return path[0].text != STARTS[1].strip()

    assert subtree(one, elsewhere) == subtree(two, elsewhere)
    assert subtree(one, lambda path: True) != subtree(two, lambda path: True)
    assert {path[0] for path in subtree(one, elsewhere) if len(path) > 4} >= {STARTS[place].strip() for place in (0, 2, 3)}


def test_first_steps_are_dealt_out_in_turn_those_that_may_go_on_first(problem):
    verdicts = [Verdict.INCORRECT, Verdict.CORRECT, Verdict.INCORRECT, Verdict.UNKNOWN, Verdict.CORRECT]
    made = [Candidate(0, str(place), judgement=Judgement(None, verdict)) for place, verdict in enumerate(verdicts)]
    growth: Growth = growth_of(problem)
    assert [[one.text for one in hand] for hand in dealt(growth, made, 2)] == [["1", "4", "2"], ["3", "0"]]
    assert [len(hand) for hand in dealt(growth, made[:1], 3)] == [1, 0, 0]


async def test_equal_first_steps_make_one_subtree(problem):
    script = scripted({"": [STEP1], STEP1: [ANSWER, SLIP2]})
    tree, _, endpoint = await grown(problem, script, stage_of(strategy="dvts", subtrees=3))
    assert [(node.text, node.multiplicity) for node in tree.nodes if node.depth == 1] == [(STEP1.strip(), 12)]
    assert [request["n"] for request in endpoint.requests] == [12, 4]


@pytest.mark.parametrize("retries", [0, 2])
async def test_a_subtree_whose_steps_are_all_incorrect_is_asked_again_and_ends(problem, retries):
    def script(so_far, number, draw):
        if not so_far:
            return STARTS[draw % 2]
        return "1 + 1 = 3\n" if so_far == STARTS[0] else f"The answer is 26.{EOS}"

    tree, _, endpoint = await grown(problem, script, stage_of(strategy="dvts", subtrees=2, retries=retries))
    asked = [request["so_far"] for request in endpoint.requests]
    assert asked.count(STARTS[0]) == 1 + retries and asked.count(STARTS[1]) == 1
    assert tree.cost.rounds == 2


async def test_stop_after(problem):
    script = scripted({"": [ANSWER, STEP1], STEP1: [ANSWER]})
    tree, _, _ = await grown(problem, script, stage_of(strategy="dvts", stop_after=1))
    assert tree.cost.rounds == 1
