"""From a tree to drafts: which path is the correct one, and a walk that tries wrong turns before it (Part 1, Q6).

A draft is a list of pieces in walking order. It knows what is said and why, not how: wording is the refiner's (`refine.py`).
Step numbers stay as the policy wrote them: a wrong trial and its correction share one, for they stand at one place of the path.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from services.compiler.steps import SLIP, equalities, number_of, sameness
from services.compiler.worked import check, refutation
from shared.contracts.thought import Role
from shared.contracts.tree import Node, ReasoningTree, Verdict

SECOND_CHECK = 0.3
"""Chance that a thought which re-checks a step re-checks a second one."""
UNEXPLAINED = ("this step is wrong", "this answer does not check out")
"""Reasons where the tree holds none in words."""


class PassedOver(Exception):
    """A tree that gives no thought; its message is the reason, as counted in the dataset's card."""


@dataclass(frozen=True)
class Piece:
    """One thing that a draft says, and the node it stands for (as `Span` says).

    `text` is the node's own line for STEP, WRONG_STEP and CONCLUSION; the reason for REFLECTION ("27 - 21 = 6, not 4"); where to
    for BACKTRACK ("back to step 2"); the fact for VERIFICATION ("5 * 6 = 30").
    """

    role: Role
    node_id: int
    text: str


@dataclass(frozen=True)
class Manner:
    """How a tree is walked."""

    wrong_trials: int = 1
    """Most wrong turns at one on-path node; 0: none at all."""
    trial_share: float | Literal["natural"] = 1.0
    """Chance that a node tries the wrong turns it has; with `wrong_trials`, a walk takes at least one turn if the tree has any.
    `natural`: the share of the policy's samples at that node which can go wrong, and a walk may take none."""
    stop_at_wrong: bool = True
    wrong_depth: int | None = None
    """Most steps of a wrong turn; one that goes wrong only later is not taken, and one that wandered on is cut there."""
    verify: Literal["none", "some", "all"] = "none"
    """Which right steps are re-checked: one or two, or every one that states an equality."""
    worked: bool = False
    """Whether checks are worked out in parts, and wrong equalities refuted in parts (`worked.py`)."""


def correct_leaves(tree: ReasoningTree) -> list[Node]:
    """The verified leaves whose paths can be taught, best first. Raises PassedOver if there is none.

    Best: the highest lowest score along the path (a chain is as good as its weakest step), then the highest mean, then the shortest
    path, then the smallest id. A path that holds a step judged wrong reached its answer by luck, and is not taught.
    """
    verified = list(tree.verified_leaves)
    if not verified:
        raise PassedOver("no verified leaf")
    sound = [leaf for leaf in verified if all(node.verdict is not Verdict.INCORRECT for node in tree.path(leaf.id))]
    if not sound:
        raise PassedOver("every path to a verified leaf holds a step judged wrong")
    plain = [leaf for leaf in sound if _says_each_once(tree.path(leaf.id))]
    if not plain:
        raise PassedOver("every path to a verified leaf says a step twice")
    return sorted(plain, key=lambda leaf: _rank(tree.path(leaf.id)))


def shortcut(tree: ReasoningTree, leaf: Node) -> list[Piece]:
    """The correct path alone: its steps, and the leaf as the conclusion."""
    *steps, last = tree.path(leaf.id)
    return [*(Piece(Role.STEP, node.id, node.text.strip()) for node in steps), Piece(Role.CONCLUSION, last.id, last.text.strip())]


def walk(tree: ReasoningTree, leaf: Node, manner: Manner, rng: Random) -> list[Piece]:
    """The draft of one walk that ends at `leaf`: trials, reflections and backtracks, then on along the correct path.

    Every wrong step is said once, before the walk goes on from the on-path node it branched from. The same tree, leaf, manner and
    state of `rng` give the same draft.
    """
    trials = _plan_trials(tree, leaf, manner, rng)
    path = shortcut(tree, leaf)
    checked = _choose_checks(path, manner, rng) if manner.verify != "none" else {}
    pieces = list(_pieces_of_trials(tree, 0, trials.get(0, []), manner))
    for piece in path:
        pieces.append(piece)
        if piece.node_id in checked:
            pieces.append(Piece(Role.VERIFICATION, piece.node_id, checked[piece.node_id]))
        pieces.extend(_pieces_of_trials(tree, piece.node_id, trials.get(piece.node_id, []), manner))
    return pieces


def draft_text(pieces: Sequence[Piece]) -> str:
    """A draft as lines, one a piece, with the critic's reason after each wrong turn."""
    marks = {Role.WRONG_STEP: "(wrong) ", Role.REFLECTION: "(why) ", Role.BACKTRACK: "(back) ", Role.VERIFICATION: "(check) "}
    return "\n".join(marks.get(piece.role, "") + piece.text for piece in pieces)


def could_go_wrong(tree: ReasoningTree, leaf: Node, manner: Manner) -> bool:
    """Whether some node of the path to `leaf` has an off-path child whose walk, in this manner, can end wrong."""
    turns = _Turns(tree, leaf, manner)
    return any(turns.trials(node_id) for node_id in _sites(tree, leaf))


def right_nodes(tree: ReasoningTree) -> set[int]:
    """Every verified leaf and the nodes above it: whatever a judge said, these can lead to the right answer."""
    return {0, *(node.id for leaf in tree.verified_leaves for node in tree.path(leaf.id))}


def is_wrong(node: Node, right: set[int]) -> bool:
    """Judged wrong, and nothing below it speaks against the judge."""
    return node.verdict is Verdict.INCORRECT and node.id not in right


def _rank(path: Sequence[Node]) -> tuple[float, float, int, int]:
    scores = [node.score for node in path if node.score is not None] or [0.0]
    return -min(scores), -sum(scores) / len(scores), len(path), path[-1].id


def _says_each_once(path: Sequence[Node]) -> bool:
    said = {sameness(node.text) for node in path}
    return len(said) == len(path) and "" not in said


def _sites(tree: ReasoningTree, leaf: Node) -> list[int]:
    """The on-path nodes that may try something else first: the root and every step but the leaf."""
    return [0, *(node.id for node in tree.path(leaf.id)[:-1])]


def _plan_trials(tree: ReasoningTree, leaf: Node, manner: Manner, rng: Random) -> dict[int, list[list[Node]]]:
    """On-path node id -> the wrong walks tried there, in order.

    Nodes are asked in random order, so that the one turn that a walk must take lies anywhere on the path.
    """
    if not manner.wrong_trials:
        return {}
    turns = _Turns(tree, leaf, manner)
    said = {"", *(sameness(node.text) for node in tree.path(leaf.id))}
    sites = _sites(tree, leaf)
    rng.shuffle(sites)
    planned: dict[int, list[list[Node]]] = {}
    for site in sites:
        first = turns.trials(site)
        if manner.trial_share == "natural":
            if rng.random() >= _share(tree, site, first):
                continue
        elif planned and rng.random() >= manner.trial_share:
            continue
        rng.shuffle(first)
        taken: list[list[Node]] = []
        for child in first:
            if len(taken) == manner.wrong_trials:
                break
            trial = turns.wander(child, said, rng)
            if trial:
                taken.append(trial)
                said.update(sameness(node.text) for node in trial)
        if taken:
            planned[site] = taken
    return planned


def _share(tree: ReasoningTree, site: int, some: Sequence[Node]) -> float:
    """The share of the policy's samples at a node that `some` of its children stand for."""
    children = tree.children[site]
    return sum(node.multiplicity for node in some) / sum(node.multiplicity for node in children) if children else 0.0


class _Turns:
    """The wrong turns of one tree beside one correct path."""

    def __init__(self, tree: ReasoningTree, leaf: Node, manner: Manner) -> None:
        self._tree = tree
        self._stop = manner.stop_at_wrong
        self._most = manner.wrong_depth or len(tree.nodes)
        self._right = right_nodes(tree)
        self._path = {node.id for node in tree.path(leaf.id)}
        self._known: dict[tuple[int, bool, int], bool] = {}

    def trials(self, site: int) -> list[Node]:
        """The off-path children of an on-path node from which a walk can end wrong, in order of id."""
        return [child for child in self._tree.children[site] if child.id not in self._path and self._can_end_wrong(child, False, 1)]

    def wander(self, node: Node, said: set[str], rng: Random) -> list[Node] | None:
        """One walk from an off-path node to a wrong end, a child at random each time; None if it would say a step twice."""
        walked: list[Node] = []
        repeated = set(said)
        gone_wrong = False
        while True:
            if sameness(node.text) in repeated:
                return None
            walked.append(node)
            repeated.add(sameness(node.text))
            gone_wrong = gone_wrong or is_wrong(node, self._right)
            children = self._tree.children[node.id]
            if not children or (gone_wrong and (self._stop or len(walked) == self._most)):
                return walked
            node = rng.choice([child for child in children if self._can_end_wrong(child, gone_wrong, len(walked) + 1)])

    def _can_end_wrong(self, node: Node, gone_wrong: bool, steps: int) -> bool:
        """Whether a walk from `node`, its step number `steps`, can end wrong: at a wrong final answer, or at or past a step judged
        wrong.

        A branch that was pruned or cut off before an answer, without a step judged wrong, ended neither right nor wrong.
        """
        key = node.id, gone_wrong, steps
        if key not in self._known:
            gone_wrong = gone_wrong or is_wrong(node, self._right)
            children = self._tree.children[node.id]
            if gone_wrong and (self._stop or steps == self._most):
                self._known[key] = True
            elif children:
                within = steps < self._most
                self._known[key] = within and any(self._can_end_wrong(child, gone_wrong, steps + 1) for child in children)
            else:
                self._known[key] = not node.verified and (gone_wrong or node.verified is False)
        return self._known[key]


def _pieces_of_trials(tree: ReasoningTree, site: int, trials: Sequence[Sequence[Node]], manner: Manner) -> Iterator[Piece]:
    """The trials at an on-path node: their steps, why each failed, and the way back."""
    right = right_nodes(tree) if trials else set()
    for trial in trials:
        yield from (Piece(Role.WRONG_STEP, node.id, node.text.strip()) for node in trial)
        cause = next((node for node in trial if is_wrong(node, right)), trial[-1])
        yield Piece(Role.REFLECTION, cause.id, _why(cause, manner))
        yield Piece(Role.BACKTRACK, site, _way_back(tree.nodes[site]))


def _why(cause: Node, manner: Manner) -> str:
    """Why a trial failed, truthfully: the judge's reason, or that the answer did not check out.

    A reason that gives no more than another result may be worked out; any other is the judge's own.
    """
    if cause.verdict is Verdict.INCORRECT:
        reason = (cause.reason or "").strip()
        worked = refutation(cause.text) if manner.worked and (not reason or SLIP.fullmatch(reason)) else None
        return worked or reason or UNEXPLAINED[0]
    return f"the answer {cause.answer} does not check out" if cause.answer else UNEXPLAINED[1]


def _way_back(node: Node) -> str:
    if node.parent is None:
        return "back to the start"
    number = number_of(node.text)
    return "back to the last right step" if number is None else f"back to step {number}"


def _choose_checks(path: Sequence[Piece], manner: Manner, rng: Random) -> dict[int, str]:
    """Node id -> the check of an equality of that step which holds exactly, for one or two steps of the path or for all."""
    candidates = {}
    for piece in path:
        exact = [equality for equality in equalities(piece.text) if equality.holds]
        if piece.role is Role.STEP and exact:
            candidates[piece.node_id] = (check(exact[-1]) if manner.worked else None) or exact[-1].text
    if manner.verify == "all":
        return candidates
    count = min(len(candidates), 2 if rng.random() < SECOND_CHECK else 1)
    return {node_id: candidates[node_id] for node_id in rng.sample(sorted(candidates), count)}
