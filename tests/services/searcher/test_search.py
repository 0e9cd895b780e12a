"""A whole search with scripted models: what becomes of each kind of line, pruning, resuming, and the record."""

import asyncio
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.problem import Problem
from shared.contracts.tree import ReasoningTree, Verdict
from shared.engines.client import RequestRefused
from tests.services.searcher.fakes import ANSWER, EOS, OTHER2, PENS, SLIP2, STEP1, STEP2, scripted, stage_of
from tests.services.searcher.growing import by_text, grown


@pytest.mark.parametrize("local", [True, False])
async def test_a_tree_with_right_and_wrong_branches(problem, local):
    tree, _, _ = await grown(problem, scripted(PENS), local=local)
    first, right, slip, other = (by_text(tree, text) for text in (STEP1, STEP2, SLIP2, OTHER2))
    assert (first.multiplicity, first.depth, first.verdict) == (4, 1, Verdict.CORRECT)
    assert (right.multiplicity, right.kept, right.reason) == (2, True, "30 - 4 = 26 checks out")
    assert (slip.verdict, slip.kept, slip.reason, slip.score) == (Verdict.INCORRECT, False, "30 - 4 = 26, not 24", 0.0)
    assert not tree.children[slip.id]
    assert other.kept and other.verdict is Verdict.CORRECT  # a right sum, a wrong idea
    finals = sorted((node.answer, node.verified, tree.nodes[node.parent].text) for node in tree.nodes if node.final)
    assert finals == [("26", True, other.text), ("26", True, right.text), ("34", False, other.text)]
    assert all(node.verdict is not Verdict.CORRECT for node in tree.nodes if node.verified is False)
    assert tree.cost.merged_steps == 3 + 1 + 3 + 2
    assert tree.cost.rounds == 3 and tree.cost.requests == 4
    assert tree.cost.completion_tokens > tree.tree_tokens > 0


async def test_children_share_their_prefix_byte_for_byte(problem):
    tree, _, endpoint = await grown(problem, scripted(PENS))
    prompt = endpoint.requests[0]["prompt"]
    assert [len(endpoint.requests), endpoint.requests[0]["n"]] == [4, 4]
    for request in endpoint.requests[1:]:
        [node] = [
            node for node in tree.nodes if "".join(f"{step.text}\n" for step in tree.path(node.id)) == request["so_far"] != ""
        ]
        assert request["prompt"] == prompt + [token for step in tree.path(node.id) for token in step.token_ids]
        assert request["stop"] == ("\n",)


async def test_an_endpoint_is_asked_in_a_chat(problem):
    tree, _, endpoint = await grown(problem, scripted(PENS), local=False)
    roles = [[message.role for message in request["messages"]] for request in endpoint.requests]
    assert roles[0] == ["user"] and roles[1] == ["user", "assistant", "user"]
    assert all(node.token_ids == () for node in tree.nodes)
    assert by_text(tree, STEP1).tokens == len(STEP1) - 1


@pytest.mark.parametrize(
    ("lines", "counted", "texts"),
    [
        (["Step 1: this goes on and on" * 20], {"truncated_steps": 4}, []),
        ([EOS], {"blank_steps": 4}, []),
        (["Step 1: first\n", "step 1:  First\n"], {"merged_steps": 3}, ["Step 1: first"]),
    ],
)
async def test_lines_that_become_no_node_are_counted(problem, lines, counted, texts):
    tree, _, _ = await grown(problem, scripted({"": lines}))
    cost = tree.cost.model_dump()
    assert {name: cost[name] for name in counted} == counted
    assert [node.text for node in tree.nodes[1:]] == texts


async def test_a_newline_before_a_step_belongs_to_it(problem):
    tree, _, endpoint = await grown(problem, scripted({"": ["\n" + STEP1], "\n" + STEP1: [ANSWER]}))
    node = by_text(tree, STEP1)
    assert "".join(map(chr, node.token_ids)) == "\n" + STEP1 and node.multiplicity == 4
    assert len(endpoint.requests) == 2 and tree.cost.blank_steps == 0


async def test_a_blank_line_is_skipped_once_and_stays_in_the_ids(problem):
    tree, _, endpoint = await grown(
        problem, scripted({"": ["\n", STEP1], "\n": [STEP2], "\n" + STEP2: ["\n"], "\n" + STEP2 + "\n": ["\n"]})
    )
    node = by_text(tree, STEP2)
    assert "".join(map(chr, node.token_ids)) == "\n" + STEP2 and node.multiplicity == 2
    assert endpoint.requests[1]["so_far"] == "\n" and endpoint.requests[1]["n"] == 2
    assert tree.cost.blank_steps == 4 + 4  # after the second step blank lines only; after STEP1 an end without a word


async def test_the_end_without_an_answer_is_a_dead_end(problem):
    tree, _, endpoint = await grown(problem, scripted({"": [STEP1], STEP1: [f"That is all.{EOS}"]}))
    node = by_text(tree, "That is all.")
    assert (node.ended, node.final, node.verified, node.kept) == ("no_answer", False, None, False)
    assert len(endpoint.requests) == 2


async def test_a_line_that_goes_on_stands_for_an_equal_one_that_ended(problem):
    tree, _, _ = await grown(problem, scripted({"": [STEP1.strip() + EOS, STEP1], STEP1: [ANSWER]}))
    assert (by_text(tree, STEP1).ended, by_text(tree, STEP1).multiplicity) == (None, 4)
    assert [node.verified for node in tree.nodes if node.final] == [True]


async def test_a_full_context_ends_the_branch_and_the_tree_says_so(problem):
    def script(so_far, number, draw):
        if so_far:
            raise RequestRefused(400, "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens")
        return STEP1

    tree, saved, _ = await grown(problem, script)
    assert by_text(tree, STEP1).ended == "context_overflow" and tree.cost.rounds == 2
    again, _, endpoint = await grown(problem, script, saved=saved)
    assert again == tree and endpoint.requests == []


async def test_another_refusal_fails_the_search_with_its_words(problem):
    def script(so_far, number, draw):
        raise RequestRefused(400, "n is too large")

    with pytest.raises(RequestRefused, match="n is too large"):
        await grown(problem, script)


async def test_too_few_judgements_are_an_error(problem, monkeypatch):
    async def none(self, growth, candidates):
        return []

    monkeypatch.setattr("services.searcher.rewards.arithmetic.ArithmeticJudge.judge", none)
    with pytest.raises(ValueError, match="reward arithmetic: 0 judgements for 1 steps"):
        await grown(problem, scripted(PENS))


async def test_max_depth_and_stop_after(problem):
    def endless(so_far, number, draw):
        step = so_far.count("\n") + 1
        return f"Step {step}: {step} + 1 = {step + 1} pens {draw}\n"

    tree, _, _ = await grown(problem, endless, stage_of(max_depth=3))
    assert max(node.depth for node in tree.nodes) == 3 and tree.cost.rounds == 3
    assert sum(node.kept for node in tree.nodes[1:]) == 2 * 3
    both = {"": [ANSWER, STEP1], STEP1: [ANSWER]}
    tree, _, _ = await grown(problem, scripted(both), stage_of(stop_after=1))
    assert tree.cost.rounds == 1 and len(list(tree.verified_leaves)) == 1
    tree, _, _ = await grown(problem, scripted(both))
    assert tree.cost.rounds == 2 and len(list(tree.verified_leaves)) == 2


async def test_if_every_step_is_incorrect_the_branch_ends_there(problem):
    tree, _, endpoint = await grown(problem, scripted({"": [STEP1], STEP1: [SLIP2]}))
    assert [node.verdict for node in tree.leaves] == [Verdict.INCORRECT] and len(endpoint.requests) == 2


async def test_a_node_without_a_way_on_is_asked_again(problem):
    def script(so_far, number, draw):
        if so_far == STEP1:
            return [SLIP2, "cut " * 40, STEP2][min(number, 2)] if draw else SLIP2
        return {"": STEP1, STEP1 + STEP2: ANSWER}[so_far]

    tree, saved, endpoint = await grown(problem, script, stage_of(retries=2))
    slip, right = by_text(tree, SLIP2), by_text(tree, STEP2)
    assert (slip.multiplicity, slip.kept, right.multiplicity, right.kept) == (4 + 1 + 1, False, 3, True)
    assert [request["so_far"] for request in endpoint.requests] == ["", STEP1, STEP1, STEP1, STEP1 + STEP2]
    assert (tree.cost.rounds, tree.cost.truncated_steps, len(saved)) == (3, 3, 3)
    assert len(list(tree.verified_leaves)) == 1
    tree, _, endpoint = await grown(problem, script, stage_of(retries=1))
    assert [node.verdict for node in tree.leaves] == [Verdict.INCORRECT] and len(endpoint.requests) == 3


# -- rollout reward ----------------------------------------------------------------------------------------------------------------


async def test_rollouts_score_steps_and_the_best_go_on(problem):
    good, poor, lost = "Step 1: good\n", "Step 1: poor\n", "Step 1: lost\n"

    def script(so_far, number, draw):
        if so_far == "":
            return [lost, poor, good, lost][draw]
        answers = {good: 4, poor: 1, lost: 0}.get(so_far, 0)
        return f"so\nThe answer is {26 if draw < answers else 7}.{EOS}"

    stage = stage_of(keep=1, max_depth=2, reward={"kind": "rollout", "rollouts": 4})
    tree, _, endpoint = await grown(problem, script, stage)
    scores = {node.text: (node.score, node.verdict, node.kept) for node in tree.nodes if node.depth == 1}
    assert scores == {
        "Step 1: good": (1.0, Verdict.CORRECT, True),
        "Step 1: poor": (0.25, Verdict.CORRECT, False),
        "Step 1: lost": (0.0, Verdict.INCORRECT, False),
    }
    assert by_text(tree, good).reason == "4 of 4 completions from here reach the right answer"
    rollouts = [request for request in endpoint.requests if not request["stop"]]
    assert [(request["n"], request["max_tokens"]) for request in rollouts] == [(4, 96)] * 3 + [(4, 96)]
    assert tree.cost.requests == len(endpoint.requests)


async def test_final_steps_are_judged_by_their_answer(problem):
    stage = stage_of(reward={"kind": "rollout"})
    tree, _, endpoint = await grown(problem, scripted({"": [ANSWER, f"The answer is 5.{EOS}"]}), stage)
    assert [(node.score, node.verdict, node.verified) for node in tree.nodes[1:]] == [
        (1.0, Verdict.CORRECT, True),
        (0.0, Verdict.INCORRECT, False),
    ]
    assert len(endpoint.requests) == 1


# -- arithmetic reward -------------------------------------------------------------------------------------------------------------


async def test_a_wrong_answer_is_never_called_correct(problem):
    tree, _, _ = await grown(
        problem,
        scripted(
            {
                "": [
                    f"5 * 6 = 30. The answer is 30.{EOS}",
                    f"5 * 6 = 30. The answer is 31.{EOS}",
                    f"5 * 6 = 30. The answer is 26.{EOS}",
                ]
            }
        ),
    )
    assert [(node.answer, node.verdict, node.reason) for node in tree.nodes[1:]] == [
        ("30", Verdict.UNKNOWN, None),
        ("31", Verdict.INCORRECT, "the steps lead to 30, not 31"),
        ("26", Verdict.CORRECT, "5 * 6 = 30 checks out"),
    ]


async def test_a_repeated_step_is_incorrect(problem):
    again = STEP1.replace("Step 1", "Step 2")
    tree, _, _ = await grown(problem, scripted({"": [STEP1], STEP1: [again]}))
    assert by_text(tree, again).reason == "this only repeats an earlier step"


# -- resuming ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["arithmetic", "rollout"])
async def test_a_search_cut_after_any_round_ends_with_the_same_tree(problem, kind):
    stage = stage_of(reward={"kind": kind})
    whole, rounds, endpoint = await grown(problem, scripted(PENS), stage)
    assert len(rounds) >= 3
    for cut in range(len(rounds) + 1):
        tree, saved, again = await grown(problem, scripted(PENS), stage, saved=rounds[:cut])
        assert tree == whole
        assert saved == rounds
        assert len(again.requests) <= len(endpoint.requests)
    assert again.requests == []


# -- invariants --------------------------------------------------------------------------------------------------------------------

LINES = st.sampled_from(
    [
        STEP1,
        STEP2,
        SLIP2,
        OTHER2,
        ANSWER,
        f"The answer is 3.{EOS}",
        "\n",
        EOS,
        f"Done.{EOS}",
        "cut " * 40,
        "step 1:  ok\n",
        "Step 1: OK\n",
    ]
)


@given(
    st.lists(LINES, min_size=1, max_size=40),
    st.integers(2, 5),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 2),
    st.sampled_from(["arithmetic", "rollout"]),
)
def test_every_search_leaves_a_tree(lines, width, keep, depth, retries, kind):
    asyncio.run(_check_invariants(lines, width, keep, depth, retries, kind))


async def _check_invariants(lines, width, keep, depth, retries, kind):
    problem = Problem(id="p", question="Q?", answer="26")
    drawn = count()
    stage = stage_of(width=width, keep=keep, max_depth=depth, retries=retries, reward={"kind": kind, "rollouts": 1})
    tree, saved, _ = await grown(problem, lambda *_: lines[next(drawn) % len(lines)], stage)
    assert ReasoningTree.model_validate_json(tree.model_dump_json()) == tree
    assert tree.cost.rounds == len(saved) <= depth
    for level in range(1, depth + 1):
        going_on = [node for node in tree.nodes if node.depth == level and node.kept and not node.final]
        assert len(going_on) <= keep
    for node in tree.nodes:
        kids = tree.children[node.id]
        assert sum(kid.multiplicity for kid in kids) <= width * (1 + retries)
        assert not kids or (node.kept and not node.final and node.ended is None)
        texts = [" ".join(kid.text.casefold().split()) for kid in kids]
        assert len(set(texts)) == len(texts)
    assert tree.cost.completion_tokens >= tree.tree_tokens
    again, _, endpoint = await grown(problem, lambda *_: STEP1, stage, saved=saved)
    assert again == tree and endpoint.requests == []
