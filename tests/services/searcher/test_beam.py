"""beam: `keep_exploring`. (What every search does is in test_search.py, pruning in test_rounds.py.)"""

import pytest

from services.searcher.rounds import missing
from shared.contracts.tree import Verdict
from tests.services.searcher.fakes import ANSWER, EOS, SLIP2, STEP1, STEP2, scripted, stage_of
from tests.services.searcher.growing import by_text, grown
from tests.services.searcher.test_rounds import growth_of

WRONG = f"The answer is 3.{EOS}"
VAGUE = "Step 1: Let us think about the pens.\n"
IDEA = "Step 1: He might have lost more.\n"


def lacks(problem, tree) -> set[str]:
    return missing(growth_of(problem, nodes=tree.nodes[1:]))


@pytest.mark.parametrize(("keep_exploring", "rounds", "missed"), [(False, 1, {"wrong"}), (True, 2, set())])
async def test_it_goes_on_past_stop_after_until_a_wrong_branch_is_there(problem, keep_exploring, rounds, missed):
    script = scripted({"": [ANSWER, STEP1], STEP1: [SLIP2, STEP2], STEP1 + STEP2: [ANSWER]})
    tree, _, _ = await grown(problem, script, stage_of(stop_after=1, keep_exploring=keep_exploring))
    assert (tree.cost.rounds, lacks(problem, tree)) == (rounds, missed)


@pytest.mark.parametrize(
    ("answers", "asked", "missed"),
    [
        ([ANSWER, WRONG], 2, set()),  # nothing but right answers: asked again
        ([WRONG, ANSWER], 2, set()),  # nothing but wrong ones
        ([ANSWER, ANSWER, WRONG], 3, set()),
        ([ANSWER, ANSWER, ANSWER, WRONG], 3, {"wrong"}),  # `retries` are spent
    ],
)
async def test_a_node_that_gave_nothing_but_answers_is_asked_again(problem, answers, asked, missed):
    def script(so_far, number, draw):
        return STEP1 if not so_far else answers[number]

    tree, _, endpoint = await grown(problem, script, stage_of(keep_exploring=True, retries=2))
    assert (len(endpoint.requests), tree.cost.rounds, lacks(problem, tree)) == (1 + asked, 2, missed)
    _, _, endpoint = await grown(problem, script, stage_of(retries=2))
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize(
    ("ends", "taken"),
    [
        ({STEP1: [ANSWER], IDEA: [WRONG], VAGUE: [WRONG]}, IDEA),  # a wrong branch is missing: the worst that was pruned
        ({STEP1: [WRONG], IDEA: [ANSWER], VAGUE: [ANSWER]}, VAGUE),  # a right one is: the best
        ({STEP1: [SLIP2], IDEA: [ANSWER], VAGUE: [ANSWER]}, VAGUE),  # all were called incorrect: so too
    ],
)
async def test_pruned_steps_are_taken_up_again_where_nothing_is_left(problem, ends, taken):
    script = scripted({"": [STEP1, VAGUE, VAGUE, IDEA], **ends})
    tree, saved, _ = await grown(problem, script, stage_of(keep=1, keep_exploring=True))
    assert [node.text for node in tree.nodes if node.depth == 1 and node.kept] == [
        text for text in tree_order(tree) if text in (STEP1.strip(), taken.strip())
    ]
    assert (tree.cost.rounds, lacks(problem, tree)) == (3, set())
    assert tree.children[by_text(tree, taken).id]
    assert saved[2]["changed"] == {str(by_text(tree, taken).id): {"kept": True}}
    for cut in range(len(saved)):
        assert (await grown(problem, script, stage_of(keep=1, keep_exploring=True), saved=saved[:cut]))[:2] == (tree, saved)


def tree_order(tree) -> list[str]:
    return [node.text for node in tree.nodes if node.depth == 1]


async def test_steps_called_incorrect_are_not_taken_up(problem):
    slip = "Step 1: 5 * 6 = 31 pens.\n"
    tree, _, endpoint = await grown(problem, scripted({"": [slip]}), stage_of(keep_exploring=True))
    assert [node.verdict for node in tree.leaves] == [Verdict.INCORRECT] and len(endpoint.requests) == 1


async def test_exploring_ends_after_max_depth_rounds(problem):
    def script(so_far, number, draw):
        return ANSWER if so_far else f"Step 1: a pen of colour {'abcd'[draw]}\n"

    tree, saved, _ = await grown(problem, script, stage_of(keep=1, keep_exploring=True, max_depth=3))
    assert len(saved) == tree.cost.rounds == 3 and lacks(problem, tree) == {"wrong"}
    tree, saved, _ = await grown(problem, script, stage_of(keep=1, keep_exploring=True, max_depth=8))
    assert len(saved) == 1 + 4 and lacks(problem, tree) == {"wrong"}  # all four were explored
