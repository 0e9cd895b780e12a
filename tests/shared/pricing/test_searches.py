"""Bounds of searches: by hand, and against searches that are really made."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.searcher import dialogue
from services.searcher.strategies import debate
from shared.contracts.problem import Problem
from shared.contracts.stages import SearchStage
from shared.pricing import searches, trees
from shared.pricing.ranges import ranged
from shared.pricing.searches import effort, unpruned
from tests.services.searcher.fakes import ANSWER, EOS, OTHER2, SLIP2, STEP1, STEP2, stage_of
from tests.services.searcher.growing import grown, wandering


def stage(**fields: object) -> SearchStage:
    return SearchStage.model_validate({"kind": "search", "problems": "p", "policy": "m", **fields})


BEAM = {"width": 3, "keep": 2, "max_depth": 10}
DVTS = {"strategy": "dvts", "width": 3, "subtrees": 4, "max_depth": 5}
CHAINS = {"strategy": "best_of_n", "chains": 8, "max_depth": 6}
MCTS = {"strategy": "mcts", "width": 3, "simulations": 12, "max_depth": 6}


@pytest.mark.parametrize(
    ("fields", "steps", "low", "expected", "high"),
    [
        # w K D = 60; rounds midway between 4 and 10: 7, so 3 (1 + 2 x 6) = 39
        ({**BEAM, "retries": 0}, 4, 3, 39, 60),
        ({**BEAM, "retries": 2}, 4, 3, 39, 180),
        ({**BEAM, "retries": 0, "stop_after": 1}, 4, 3, 21, 60),  # 4 rounds: 3 (1 + 2 x 3)
        ({**BEAM, "retries": 0, "stop_after": 1, "keep_exploring": True}, 4, 3, 39, 60),
        ({**BEAM, "retries": 0}, 99, 3, 57, 60),  # solutions are no deeper than the tree: 3 (1 + 2 x 9)
        # the whole tree has 3 + 9 = 12 steps, fewer than w K D = 3 x 64 x 2
        ({"width": 3, "keep": 64, "max_depth": 2, "retries": 0}, 2, 3, 12, 12),
        ({**DVTS, "retries": 0}, 3, 12, 48, 60),  # rounds midway between 3 and 5: 12 a round
        ({**DVTS, "retries": 1, "stop_after": 2}, 3, 12, 36, 120),
        (CHAINS, 4, 8, 32, 48),
        (MCTS, 4, 3, 18, 36),
        ({**MCTS, "stop_after": 1}, 4, 3, 12, 36),
        ({**MCTS, "max_depth": 1}, 4, 3, 3, 3),  # a tree of one level: one expansion
        ({"strategy": "propose_critique", "turns": 16}, 4, 1, 10, 16),
        ({"strategy": "propose_critique", "turns": 16, "stop_after": 1}, 4, 1, 4, 16),
        ({"strategy": "debate", "turns": 12, "critic": "c"}, 4, 1, 4, 12),
    ],
)
def test_steps_of_a_tree(fields: dict[str, object], steps: float, low: float, expected: float, high: float) -> None:
    found = effort(stage(**fields), ranged(steps)).steps
    assert (found.low, found.expected, found.high) == (low, expected, high)


def test_what_a_prompt_repeats() -> None:
    """Rounds 1 to 3, two nodes each, above which 0, 1 and 2 steps stand: 2 (0 + 1 + 2) = 6."""
    found = effort(stage(width=4, keep=2, max_depth=3, retries=0), ranged(3))
    assert found.above.high == 6
    assert found.requests.high == 4 * 2 * 3 / 4
    assert effort(stage(**CHAINS), ranged(3)).above.high == 0


def test_the_unpruned_tree() -> None:
    assert unpruned(3, 10) == 88_572
    assert "3 x 2 x 10 = 60 steps (unpruned, w^D: 88,572), each node asked up to 3 times" in effort(stage(**BEAM), ranged(4)).bound


def test_limits_are_those_of_the_searcher() -> None:
    assert dialogue.TRIES == searches.TRIES
    assert debate.SAMPLING == trees.CRITIC


KINDS = {
    "beam": {"width": 3, "keep": 2, "retries": 1},
    "wide beam": {"width": 3, "keep": 8, "retries": 0},
    "exploring beam": {"width": 2, "keep": 1, "retries": 1, "keep_exploring": True, "stop_after": 1},
    "dvts": {"strategy": "dvts", "width": 2, "subtrees": 3, "retries": 1},
    "best_of_n": {"strategy": "best_of_n", "chains": 5},
    "mcts": {"strategy": "mcts", "width": 3, "simulations": 9},
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
    "Let us see.\n",
    "1 + 1 = 2\n",
]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(st.integers(0, 10_000), st.lists(st.sampled_from(LINES), min_size=1, max_size=11), st.integers(1, 5))
def test_no_search_passes_its_bounds(kind: str, seed: int, lines: list[str], depth: int) -> None:
    one = stage_of(**KINDS[kind], max_depth=depth, reward={"kind": "arithmetic"})
    tree, _, endpoint = asyncio.run(grown(Problem(id="p", question="Q?", answer="26"), wandering(lines, seed), one))
    found = effort(one, ranged(3))
    assert found.requests.low <= len(endpoint.requests) <= found.requests.high
    if one.strategy == "best_of_n":  # there a request brings chains of many steps
        assert len(tree.nodes) - 1 <= found.steps.high
    else:
        assert found.steps.low <= sum(request["n"] for request in endpoint.requests) <= found.steps.high
    if one.strategy != "best_of_n":
        assert sum(len(tree.path(node.id)) for node in tree.nodes if tree.children[node.id]) <= found.above.high + 0.001
