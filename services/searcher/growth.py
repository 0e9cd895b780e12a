"""Growth: one problem's tree while it grows, and the four primitives that every strategy stands on: propose, check, judge, record.

A strategy is a short function over these. It decides what to expand and what to keep; it knows nothing of engines, prompts or the
ledger.

What becomes of a sampled line:

| sampled | becomes |
|---|---|
| a line that ends with a newline | a step; a newline before it belongs to it |
| a line that states a final answer | a final step, verified against the problem's answer; never expanded |
| the end of the model's text without an answer | a dead end: not final (it states nothing), `ended="no_answer"`, never expanded |
| cut by the token limit | dropped, counted in `truncated_steps` |
| nothing, or a cut in all samples of a node, for want of context | the node is marked `ended="context_overflow"` |
| white space alone | asked for once more, after that blank line; dropped and counted in `blank_steps` if it is blank again |
| equal to a sibling, but for case and spacing | merged into it: `multiplicity` |
| an answer that the grader cannot judge | dropped, counted in `ungraded_steps` |
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal, TypeVar

import structlog

from services.searcher.candidates import Candidate, Judge, Judgement, normalised, together
from services.searcher.lines import Sampled
from services.searcher.policy import ContextFull, Policy, Step
from shared.answers.extract import final_answer
from shared.answers.verify import GradingError, verify
from shared.contracts.base import Message, Origin
from shared.contracts.problem import Problem
from shared.contracts.stages import SearchStage
from shared.contracts.tree import Node, ReasoningTree, Remark, SearchCost, Verdict
from shared.engines.client import Endpoint
from shared.engines.prm.steps import aggregated

log = structlog.get_logger()
T = TypeVar("T")
RemarkKind = Literal["reflection", "critique", "feedback", "backtrack"]
Save = Callable[[int, dict[str, Any]], Awaitable[None]]
"""Saves one round: its number, and a JSON body that `Growth.restore` reads."""


@dataclass
class Growth:
    """The tree of one problem while it grows."""

    problem: Problem
    stage: SearchStage
    policy: Policy
    reward: Judge
    save: Save
    critic: Endpoint | None = None
    """debate: who answers the policy's steps."""
    nodes: list[Node] = field(default_factory=lambda: [Node(id=0, parent=None, depth=0, text="")])
    remarks: list[Remark] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter, init=False)
    _changed: dict[int, dict[str, Any]] = field(default_factory=dict, init=False)
    _said: list[Remark] = field(default_factory=list, init=False)
    _first_new: int = field(default=0, init=False)

    @property
    def rounds(self) -> int:
        """Rounds recorded so far."""
        return self._counts["rounds"]

    @property
    def verified(self) -> int:
        """Leaves whose answer verified so far."""
        return sum(node.verified is True for node in self.nodes)

    @property
    def cost(self) -> SearchCost:
        """What this tree took: the rounds in it. (The ledger's usage also counts rounds that a killed worker lost.)"""
        return SearchCost(**(self._counts + self.policy.spent + self.reward.spent))

    def path(self, node_id: int) -> list[Node]:
        """Steps from the root (left out) to `node_id` (included)."""
        steps: list[Node] = []
        node = self.nodes[node_id]
        while node.parent is not None:
            steps.append(node)
            node = self.nodes[node.parent]
        return steps[::-1]

    def steps(self, candidate: Candidate) -> list[Step]:
        """The partial solution that ends with `candidate`."""
        return [*self.path(candidate.parent), candidate]

    def value(self, step: Candidate | Node) -> float | None:
        """The value of the path that ends with `step`: its scores by the reward's `aggregate`; None if `step` has none."""
        own = step.judgement.score if isinstance(step, Candidate) else step.score
        if own is None:
            return None
        above = [] if step.parent is None else [node.score for node in self.path(step.parent)]
        return aggregated(self.stage.reward.aggregate, [score for score in (*above, own) if score is not None])

    @property
    def frontier(self) -> list[Node]:
        """What the last round left to expand: its nodes that were kept, state no answer and are no dead end. At first, the root."""
        return [node for node in self.nodes[self._first_new :] if node.kept and not node.final and node.ended is None]

    # -- the four primitives ---

    async def propose(self, frontier: Sequence[Node], width: int, among: Sequence[Candidate] = ()) -> list[Candidate]:
        """`width` next steps for every frontier node, one request a node and all at once; equal siblings merged.

        `among`: candidates of the same round; what equals one of them is merged into it and not returned.
        A node whose context is full is marked so (`ended="context_overflow"`) and gets none. Raises EngineError.
        """
        families = await together(self._children(node, width, among) for node in frontier)
        return self._merge([candidate for family in families for candidate in family], among)

    def candidate(self, parent: int, sampled: Sampled) -> Candidate | None:
        """What a sampled line becomes; None, and counted, if it is dropped."""
        if sampled.end == "cut":
            self._counts["truncated_steps"] += 1
            return None
        text = sampled.text.strip()
        if not text:
            self._counts["blank_steps"] += 1
            return None
        ended: Literal["no_answer"] | None = "no_answer" if sampled.end == "text" else None
        return Candidate(parent, text, sampled.token_ids, sampled.tokens, ended=ended, spills=sampled.spills)

    async def propose_after(self, turns: Sequence[Message], node: Node) -> list[Candidate]:
        """One next step for `node`, said in a dialogue instead of after the plain path. Raises ContextFull, EngineError."""
        candidate = self.candidate(node.id, await self.policy.say(turns, self.stage.sampling))
        return [] if candidate is None else [candidate]

    async def check(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Marks candidates that state a final answer and verifies them; returns those that could be graded."""
        graded = await together(self._grade(candidate) for candidate in candidates)
        return [candidate for candidate, sound in zip(candidates, graded, strict=True) if sound]

    async def judge(self, candidates: Sequence[Candidate]) -> None:
        """Has the reward judge all candidates of a round in one call. Raises ValueError unless it judges each one."""
        if not candidates:
            return
        judgements = await self.reward.judge(self, candidates)
        if len(judgements) != len(candidates):
            raise ValueError(f"reward {self.stage.reward.kind}: {len(judgements)} judgements for {len(candidates)} steps")
        for candidate, judgement in zip(candidates, judgements, strict=True):
            if wrong := _unsound(judgement):
                raise ValueError(f"reward {self.stage.reward.kind}: {wrong} for the step {candidate.text!r}")
            candidate.judgement = judgement

    async def record(self, candidates: Sequence[Candidate]) -> list[Node]:
        """Makes nodes of a round's candidates and saves the round: its new nodes, and what changed in earlier ones.

        Ids follow the order, so a candidate may name one before it as its parent.
        """
        self._first_new = len(self.nodes)
        for candidate in candidates:
            self.nodes.append(self._node(len(self.nodes), candidate))
        new = self.nodes[self._first_new :]
        self._counts["rounds"] += 1
        changed, self._changed = self._changed, {}
        said, self._said = self._said, []
        body = {
            "nodes": [node.model_dump(mode="json", exclude_defaults=True) for node in new],
            "changed": {str(node_id): update for node_id, update in changed.items()},
            "remarks": [remark.model_dump(mode="json", exclude_defaults=True) for remark in said],
            "cost": self.cost.model_dump(mode="json"),
        }
        await self.save(self.rounds, body)
        return new

    # -- before and after ---

    def restore(self, saved: Sequence[dict[str, Any]]) -> None:
        """Puts saved rounds back, in order, so that growth goes on after the last of them."""
        for body in saved:
            for node_id, update in body["changed"].items():
                self._update(int(node_id), update)
            self._first_new = len(self.nodes)
            self.nodes += [Node.model_validate(node) for node in body["nodes"]]
            self.remarks += [Remark.model_validate(remark) for remark in body["remarks"]]
            self._counts = Counter(body["cost"])

    def change(self, node_id: int, **update: Any) -> None:
        """Changes an earlier node (a pruning that comes later, say); saved with the next round."""
        self._update(node_id, update)
        self._changed.setdefault(node_id, {}).update(update)

    def count(self, what: str, number: int = 1) -> None:
        """Counts in the cost (`merged_steps`, say) what was sampled and became no node of its own."""
        self._counts[what] += number

    def remark(self, node_id: int, kind: RemarkKind, text: str, to: int | None = None, verdict: Verdict | None = None) -> None:
        """Says something about a node, or where the search goes back to from it; saved with the next round."""
        remark = Remark(node=node_id, kind=kind, text=text, to=to, verdict=verdict, after=len(self.nodes))
        self.remarks.append(remark)
        self._said.append(remark)

    def tree(self, tree_id: str, origin: Origin) -> ReasoningTree:
        """The finished tree, checked to be one."""
        return ReasoningTree(
            id=tree_id,
            problem=self.problem,
            nodes=tuple(self.nodes),
            remarks=tuple(self.remarks),
            strategy=self.stage.strategy,
            reward=self.stage.reward.kind,
            origin=origin,
            cost=self.cost,
        )

    # -- details ---

    async def _children(self, node: Node, width: int, among: Sequence[Candidate]) -> list[Candidate]:
        path = self.path(node.id)
        try:
            sampled = await self.policy.steps(path, width, self.stage.sampling)
        except ContextFull:
            self._has_no_room(node, among)
            return []
        blank = [one for one in sampled if one.end == "line" and not one.text.strip()]
        lines = [one for one in sampled if one.text.strip() or one.end != "line"]
        for ids, ones in groupby(sorted(blank, key=lambda one: one.token_ids), key=lambda one: one.token_ids):
            n = len(list(ones))
            try:
                lines += await self._after_blank(path, ids, n)
            except ContextFull:
                self._counts["blank_steps"] += n
                if not lines:
                    self._has_no_room(node, among)
        return [candidate for one in lines if (candidate := self.candidate(node.id, one))]

    def _has_no_room(self, node: Node, among: Sequence[Candidate]) -> None:
        """Marks a node whose context is full, but for one that found room for a step before: it has gone on."""
        if node.id not in {one.parent for one in self.nodes} | {one.parent for one in among}:
            self.change(node.id, ended="context_overflow")

    async def _after_blank(self, path: Sequence[Node], ids: tuple[int, ...], n: int) -> list[Sampled]:
        """Steps that follow a blank line; its ids stay part of them, so that the path is what the model wrote."""
        again = await self.policy.steps(path, n, self.stage.sampling, skipped=ids)
        return [Sampled(one.text, (*ids, *one.token_ids) if ids else (), one.tokens + len(ids), one.end) for one in again]

    def _merge(self, new: Sequence[Candidate], among: Sequence[Candidate]) -> list[Candidate]:
        """One candidate for equal siblings, in order of first appearance; one that can go on stands for those that ended."""
        found = {(one.parent, normalised(one.text)): one for one in among}
        for candidate in new:
            key = candidate.parent, normalised(candidate.text)
            first = found.setdefault(key, candidate)
            if first is candidate:
                continue
            self._counts["merged_steps"] += 1
            candidate.multiplicity = first.multiplicity = first.multiplicity + 1
            if first.ended and not candidate.ended and first not in among:  # those among are judged already
                found[key] = candidate
        return list(found.values())[len(among) :]

    async def _grade(self, candidate: Candidate) -> bool:
        """False if the grader could not judge the answer: an error of grading, which is not a wrong answer."""
        answer = final_answer(candidate.text)
        if answer is None:
            return True
        try:
            candidate.verified = await verify(self.problem.answer, answer)
        except GradingError as error:
            self._counts["ungraded_steps"] += 1
            log.warning("search.ungraded", problem=self.problem.id, answer=answer, error=str(error))
            return False
        candidate.final, candidate.answer, candidate.ended = True, answer, None
        return True

    def _node(self, node_id: int, candidate: Candidate) -> Node:
        return Node(
            id=node_id,
            parent=candidate.parent,
            depth=self.nodes[candidate.parent].depth + 1,
            text=candidate.text,
            token_ids=candidate.token_ids,
            tokens=candidate.tokens,
            multiplicity=candidate.multiplicity,
            score=candidate.judgement.score,
            verdict=candidate.judgement.verdict,
            reason=candidate.judgement.reason,
            kept=candidate.kept,
            final=candidate.final,
            answer=candidate.answer,
            verified=candidate.verified,
            ended=candidate.ended,
            visits=candidate.visits,
            value=candidate.value,
        )

    def _update(self, node_id: int, update: dict[str, Any]) -> None:
        self.nodes[node_id] = Node.model_validate({**self.nodes[node_id].model_dump(), **update})


def _unsound(judgement: object) -> str | None:
    """What is wrong with a reward's judgement, in words; None if nothing is. A score may be None: nothing could be told."""
    if not isinstance(judgement, Judgement):
        return f"{judgement!r} is no judgement"
    score = judgement.score
    if score is not None and (not isinstance(score, float | int) or not 0 <= score <= 1):  # NaN is in no range
        return f"{score!r} is no score"
    return None if isinstance(judgement.verdict, Verdict) else f"{judgement.verdict!r} is no verdict"
