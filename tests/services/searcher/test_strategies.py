"""What holds for every strategy: it leaves one sound tree, and a search that was cut ends with the same."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.problem import Problem
from shared.contracts.tree import ReasoningTree, Verdict
from tests.services.searcher.fakes import ANSWER, EOS, OTHER2, SLIP2, STEP1, STEP2, stage_of
from tests.services.searcher.growing import grown, wandering

KINDS = {
    "beam": {"width": 3, "keep": 2, "retries": 1},
    "exploring beam": {"width": 2, "keep": 1, "retries": 1, "keep_exploring": True, "stop_after": 1},
    "dvts": {"strategy": "dvts", "width": 2, "subtrees": 3, "retries": 1},
    "best_of_n": {"strategy": "best_of_n", "chains": 5},
    "uct": {"strategy": "mcts", "width": 3, "simulations": 9},
    "puct": {"strategy": "mcts", "width": 3, "simulations": 9, "formula": "puct"},
}
LINES = [
    STEP1,
    STEP2,
    SLIP2,
    OTHER2,
    ANSWER,
    f"The answer is 3.{EOS}",
    EOS,
    f"Done.{EOS}",
    "cut " * 40,
    "step 1:  ok\n",
    "Step 1: OK\n",
    "Let us see.\n",
    "1 + 1 = 2\n",
]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(st.integers(0, 10_000), st.lists(st.sampled_from(LINES), min_size=1, max_size=20), st.integers(1, 5), st.booleans())
def test_every_strategy_leaves_a_sound_tree(kind, seed, lines, depth, rollouts):
    asyncio.run(_check_tree(kind, seed, lines, depth, "rollout" if rollouts else "arithmetic"))


async def _check_tree(kind, seed, lines, depth, judge):
    problem = Problem(id="p", question="Q?", answer="26")
    stage = stage_of(**KINDS[kind], max_depth=depth, reward={"kind": judge, "rollouts": 1})
    tree, saved, endpoint = await grown(problem, wandering(lines, seed), stage)
    assert ReasoningTree.model_validate_json(tree.model_dump_json()) == tree
    assert max(node.depth for node in tree.nodes) <= depth
    for node in tree.nodes:
        kids = tree.children[node.id]
        assert not kids or (node.kept and not node.final and node.ended is None)
        if judge == "arithmetic" and stage.strategy != "best_of_n":
            assert not kids or node.verdict is not Verdict.INCORRECT
        texts = [" ".join(kid.text.casefold().split()) for kid in kids]
        assert len(set(texts)) == len(texts)
    cost = tree.cost
    assert (cost.rounds, cost.requests) == (len(saved), len(endpoint.requests))
    assert cost.completion_tokens >= tree.tree_tokens
    if stage.strategy != "best_of_n":  # there a chain has many lines
        sampled = sum(request["n"] for request in endpoint.requests if request["stop"])
        assert sampled == sum(node.multiplicity for node in tree.nodes[1:]) + cost.truncated_steps + cost.blank_steps
        assert cost.merged_steps == sum(node.multiplicity - 1 for node in tree.nodes[1:])
    again, _, nothing = await grown(problem, wandering(lines, seed), stage, saved=saved)
    assert again == tree and nothing.requests == []


@pytest.mark.parametrize("judge", ["arithmetic", "rollout"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_search_cut_after_any_round_ends_with_the_same_tree(problem, kind, judge):
    most = 0
    for seed in range(12):
        stage = stage_of(**KINDS[kind], max_depth=4, reward={"kind": judge, "rollouts": 2})
        script = wandering([*LINES, "\n"], seed)
        whole, rounds, endpoint = await grown(problem, script, stage)
        most = max(most, len(rounds))
        for cut in range(1, len(rounds) + 1):
            tree, saved, again = await grown(problem, script, stage, saved=rounds[:cut])
            assert (tree, saved) == (whole, rounds)
            assert len(again.requests) < len(endpoint.requests)
    assert most >= 2
