"""`longthought trees`: the comparison of searches, and a tree drawn with all that is known of its nodes."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.cli.main import app
from shared.contracts.base import Origin
from shared.contracts.problem import Problem
from shared.contracts.tree import Node, ReasoningTree, Remark, SearchCost, Verdict
from tests.services.cli.fake_gateway import fake_gateway

PENS = Problem(id="p1", question="How many pens?", answer="26")
TREE = ReasoningTree(
    id="r/beam/p1",
    problem=PENS,
    strategy="beam",
    reward="arithmetic",
    origin=Origin(run_id="r", stage="beam"),
    nodes=(
        Node(id=0, parent=None, depth=0, text=""),
        Node(id=1, parent=0, depth=1, text="5 * 6 = 30.", tokens=8, multiplicity=3, score=1.0, verdict=Verdict.CORRECT),
        Node(
            id=2,
            parent=1,
            depth=2,
            text="30 - 4 = 24.",
            tokens=7,
            score=0.0,
            verdict=Verdict.INCORRECT,
            reason="30 - 4 = 26, not 24",
        ),
        Node(id=3, parent=1, depth=2, text="The answer is 26.", tokens=5, final=True, answer="26", verified=True),
        Node(id=4, parent=1, depth=2, text="The answer is 24.", tokens=5, final=True, answer="24", verified=False),
        Node(id=5, parent=1, depth=2, text="I know.", tokens=2, visits=4, value=0.25, ended="context_overflow", kept=False),
    ),
    remarks=(Remark(node=2, kind="backtrack", text="That was wrong.", to=1, after=6),),
    cost=SearchCost(completion_tokens=100, requests=3, rounds=2),
)


def longthought(records: list[dict[str, Any]], *arguments: str) -> Result:
    answer = {"records": records, "next": None}
    with fake_gateway({"GET /v1/runs/r/records": [(200, answer)]}) as gateway:
        return CliRunner().invoke(app, ["trees", "r", *arguments], env={"LONGTHOUGHT_URL": gateway.url, "LONGTHOUGHT_API_KEY": "k"})


def record(stage: str, tree: ReasoningTree = TREE) -> dict[str, Any]:
    return {"stage": stage, "kind": "tree", "key": tree.problem.id, "body": tree.model_dump(mode="json")}


def test_searches_are_compared_stage_by_stage() -> None:
    result = longthought([record("beam"), record("beam"), record("other")], "--json")
    assert result.exit_code == 0, result.output
    costs = json.loads(result.stdout)
    assert list(costs) == ["beam", "other"]
    assert costs["beam"] == {
        "strategy": "beam",
        "trees": 2,
        "solved": 2,
        "steps": 10,
        "verified": 2,
        "wrong": 2,
        "remarks": 2,
        "requests": 6,
        "completion_tokens": 200,
        "tree_tokens": 54,
        "reward_tokens": 0,
        "tokens_per_tree": 100.0,
        "verified_per_1000_tokens": 10.0,
    }


def test_the_table_has_a_row_a_stage() -> None:
    result = longthought([record("beam"), record("other")])
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines() if "beam" in line]
    assert [row[:2] for row in rows] == [["beam", "beam"], ["other", "beam"]]


@pytest.mark.parametrize(
    "words",
    [
        "answer 26",
        "✓ 5 * 6 = 30.  (×3; 1.00)",
        "✗ 30 - 4 = 24.  (0.00; 30 - 4 = 26, not 24)",
        "✓ The answer is 26.",
        "✗ The answer is 24.",
        "· I know.  (4 visits, value 0.25; context overflow; pruned)",
        "[backtrack to step 1] That was wrong.",
    ],
)
def test_a_drawn_tree_says_what_is_known_of_each_node(words: str) -> None:
    result = longthought([record("beam")], "p1")
    assert result.exit_code == 0
    assert words in result.stdout


def test_a_run_without_trees_is_refused_in_words() -> None:
    result = longthought([], "p9", "--stage", "beam")
    assert result.exit_code == 2
    assert "no tree of problem p9 in stage beam yet" in result.stderr
