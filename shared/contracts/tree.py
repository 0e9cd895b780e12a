"""Node and ReasoningTree: what a search leaves behind. The tree is the product (method: Part 1, Q5)."""

from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.contracts.base import Frozen, Origin, Record
from shared.contracts.problem import Problem


class Verdict(StrEnum):
    """What a judge said of one step."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    UNKNOWN = "unknown"
    """The judge had nothing to check (a step without an equality, say)."""


class Node(Frozen):
    """One reasoning step. The root (id 0, depth 0, no parent, empty text) stands for the problem itself."""

    id: Annotated[int, Field(ge=0)]
    parent: int | None
    depth: Annotated[int, Field(ge=0)]
    text: str
    """The step's text, one line, without the newline that ended it."""
    token_ids: tuple[int, ...] = ()
    """The sampled ids, the step's end included; empty where the engine gives none."""
    tokens: Annotated[int, Field(ge=0)] = 0
    multiplicity: Annotated[int, Field(ge=1)] = 1
    """How many siblings of equal normalised text were merged into this node."""
    score: Annotated[float | None, Field(ge=0, le=1)] = None
    verdict: Verdict | None = None
    reason: str | None = None
    """The judge's reason, in words."""
    kept: bool = True
    """Whether the pruning kept the node for expansion."""
    final: bool = False
    """Whether the step states a final answer (then the node is never expanded)."""
    answer: str | None = None
    verified: bool | None = None
    """For a final node: whether its answer verifies against the problem's."""
    ended: Literal["no_answer", "context"] | None = None
    """Why a branch without a final answer could not go on: the model ended its text there, or the context was full."""

    @model_validator(mode="after")
    def _final_has_verdict(self) -> Self:
        if self.final != (self.verified is not None):
            raise ValueError(f"node {self.id}: exactly the final nodes carry `verified`")
        return self


class SearchCost(Frozen):
    """What the search of one tree took. Tokens paid for and tokens in the tree are counted apart."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    requests: int = 0
    truncated_steps: int = 0
    """Candidates cut by the token limit (`finish_reason == "length"`), dropped."""
    merged_steps: int = 0
    blank_steps: int = 0
    """Candidates of nothing but white space, dropped."""
    ungraded_steps: int = 0
    """Candidates whose final answer the grader could not judge (it ran out of time, say), dropped."""
    rounds: int = 0


class ReasoningTree(Record):
    """All steps tried for one problem: one connected tree, checked when built or loaded."""

    id: str
    problem: Problem
    nodes: tuple[Node, ...]
    strategy: str
    reward: str
    origin: Origin
    cost: SearchCost = SearchCost()
    status: Literal["growing", "finished"] = "finished"

    @model_validator(mode="after")
    def _is_one_tree(self) -> Self:
        """Ids are 0..n-1 in order, the root first, every parent an earlier non-final node, depths consistent."""
        if not self.nodes:
            raise ValueError("a tree has at least its root")
        for place, node in enumerate(self.nodes):
            if node.id != place:
                raise ValueError(f"node at place {place} has id {node.id}: ids are 0..n-1 in order")
            if place == 0:
                if node.parent is not None or node.depth != 0:
                    raise ValueError("node 0 is the root: no parent, depth 0")
                continue
            if node.parent is None or not 0 <= node.parent < place:
                raise ValueError(f"node {node.id}: parent {node.parent} is not an earlier node")
            parent = self.nodes[node.parent]
            if node.depth != parent.depth + 1:
                raise ValueError(f"node {node.id}: depth {node.depth}, but its parent's is {parent.depth}")
            if parent.final:
                raise ValueError(f"node {node.id}: its parent {parent.id} already states a final answer")
        return self

    @cached_property
    def children(self) -> dict[int, tuple[Node, ...]]:
        """Node id -> its children, in order of id; a leaf maps to an empty tuple."""
        found: dict[int, list[Node]] = {node.id: [] for node in self.nodes}
        for node in self.nodes[1:]:
            assert node.parent is not None
            found[node.parent].append(node)
        return {parent: tuple(kids) for parent, kids in found.items()}

    @property
    def leaves(self) -> Iterator[Node]:
        """Nodes without children, in order of id."""
        return (node for node in self.nodes if not self.children[node.id])

    @property
    def verified_leaves(self) -> Iterator[Node]:
        """Leaves whose final answer verified, in order of id."""
        return (node for node in self.nodes if node.verified)

    @property
    def tree_tokens(self) -> int:
        """Tokens in the tree (each node's once), as against tokens paid for (`cost`)."""
        return sum(node.tokens for node in self.nodes)

    def path(self, node_id: int) -> tuple[Node, ...]:
        """The steps from the root (left out) to `node_id` (included)."""
        steps: list[Node] = []
        node = self.nodes[node_id]
        while node.parent is not None:
            steps.append(node)
            node = self.nodes[node.parent]
        return tuple(reversed(steps))
