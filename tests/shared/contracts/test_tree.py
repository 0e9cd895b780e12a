"""Trees: valid ones survive a round trip, and every way of not being one connected tree is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.contracts.base import Origin
from shared.contracts.problem import Problem
from shared.contracts.tree import Node, ReasoningTree

PROBLEM = Problem(id="p", question="1 + 1?", answer="2")
ORIGIN = Origin(run_id="r", stage="search")


def tree(nodes: list[dict[str, Any]]) -> ReasoningTree:
    return ReasoningTree.model_validate(
        {"id": "t", "problem": PROBLEM, "nodes": nodes, "strategy": "beam", "reward": "arithmetic", "origin": ORIGIN}
    )


ROOT: dict[str, Any] = {"id": 0, "parent": None, "depth": 0, "text": ""}


@st.composite
def any_nodes(draw: st.DrawFn) -> list[dict[str, Any]]:
    nodes = [ROOT]
    for number in range(1, draw(st.integers(1, 25))):
        parent = draw(st.sampled_from([node for node in nodes if not node.get("final")]))
        final = number > 1 and draw(st.booleans())
        verdict = {"final": True, "answer": "2", "verified": draw(st.booleans())} if final else {}
        nodes.append(
            {"id": number, "parent": parent["id"], "depth": parent["depth"] + 1, "text": f"step {number}", "tokens": 3, **verdict}
        )
    return nodes  # fmt: skip


@given(any_nodes())
def test_a_tree_is_consistent_and_survives_json(nodes: list[dict[str, Any]]) -> None:
    made = tree(nodes)
    assert ReasoningTree.model_validate_json(made.model_dump_json()) == made
    assert sum(len(kids) for kids in made.children.values()) == len(nodes) - 1
    assert {leaf.id for leaf in made.leaves} == {node["id"] for node in nodes} - {node["parent"] for node in nodes}
    assert made.tree_tokens == 3 * (len(nodes) - 1)
    for node in made.nodes[1:]:
        path = made.path(node.id)
        assert [step.depth for step in path] == list(range(1, node.depth + 1))
        assert path[-1] == node


STEP: dict[str, Any] = {"id": 1, "parent": 0, "depth": 1, "text": "a"}


@pytest.mark.parametrize(
    ("nodes", "named"),
    [
        ([], "at least its root"),
        ([STEP], "has id 1"),
        ([{**ROOT, "depth": 1}], "no parent, depth 0"),
        ([ROOT, {**STEP, "id": 2}], "has id 2"),
        ([ROOT, {**STEP, "parent": 1}], "parent 1 is not an earlier node"),
        ([ROOT, {**STEP, "parent": None}], "parent None is not an earlier node"),
        ([ROOT, {**STEP, "depth": 2}], "depth 2, but its parent's is 0"),
        (
            [ROOT, {**STEP, "final": True, "verified": True}, {**STEP, "id": 2, "parent": 1, "depth": 2}],
            "already states a final answer",
        ),
        ([ROOT, {**STEP, "final": True}], "exactly the final nodes carry `verified`"),
        ([ROOT, {**STEP, "score": 1.5}], "less than or equal to 1"),
        ([ROOT, {**STEP, "colour": "red"}], "Extra inputs"),
    ],
)
def test_what_is_no_tree_is_refused(nodes: list[dict[str, Any]], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        tree(nodes)


def test_nodes_cannot_be_changed() -> None:
    node = Node.model_validate(STEP)
    with pytest.raises(ValidationError):
        node.text = "b"  # type: ignore[misc]
