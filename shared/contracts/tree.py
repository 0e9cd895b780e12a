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
    """The sampled ids, the step's end included; empty where the engine gives none. Joined along a path, what the model wrote; of a
    step said in a dialogue (after remarks), this line of what it wrote there (`services/searcher/dialogue.py`)."""
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
    ended: Literal["no_answer", "context_overflow"] | None = None
    """Why a branch without a final answer could not go on: the model ended its text there, or the context was full."""
    visits: Annotated[int, Field(ge=0)] = 0
    """mcts: simulations that passed through the node."""
    value: float | None = None
    """mcts: mean of what those simulations came to."""

    @model_validator(mode="after")
    def _final_has_verdict(self) -> Self:
        if self.final != (self.verified is not None):
            raise ValueError(f"node {self.id}: exactly the final nodes carry `verified`")
        return self


class Remark(Frozen):
    """What was said about a node while the tree grew, or where the search went back to from it. Kept in order of time."""

    node: Annotated[int, Field(ge=0)]
    """The node that it is about; of a backtrack: the node that was left."""
    kind: Literal["reflection", "critique", "feedback", "backtrack"]
    """A thought of the policy about its own step; a critic's; word that a final answer was wrong, or that a step stood there
    already; a way back."""
    text: str
    to: int | None = None
    """Of a backtrack: the node, nearer to the root on the same path, where the search went on."""
    verdict: Verdict | None = None
    after: Annotated[int, Field(ge=0)]
    """How many nodes the tree had when it was said: its place among the steps."""


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
    reward_tokens: int = 0
    """Tokens that reward models and critics read and wrote."""
    format_errors: int = 0
    """Answers of a model that were asked for in a form and did not have it; asked for again."""
    rounds: int = 0


class ReasoningTree(Record):
    """All steps tried for one problem: one connected tree, checked when built or loaded."""

    id: str
    problem: Problem
    nodes: tuple[Node, ...]
    strategy: str
    reward: str
    origin: Origin
    remarks: tuple[Remark, ...] = ()
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
        for place, remark in enumerate(self.remarks):
            self._check_remark(place, remark)
        return self

    def _check_remark(self, place: int, remark: Remark) -> None:
        """It is about a node that stood then; a backtrack, and nothing else, leads to a node above it."""
        if not remark.node < remark.after <= len(self.nodes):
            raise ValueError(f"remark {place}: node {remark.node} did not stand when the tree had {remark.after} nodes")
        if place and remark.after < self.remarks[place - 1].after:
            raise ValueError(f"remark {place}: said before the one that it follows")
        above = {0, *(node.id for node in self.path(remark.node))} - {remark.node}
        if (remark.kind == "backtrack") != (remark.to is not None) or (remark.to is not None and remark.to not in above):
            raise ValueError(f"remark {place}: {remark.kind} from node {remark.node} to {remark.to}, which is not above it")

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
