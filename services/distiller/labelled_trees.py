"""Labelled solutions as trees: off-policy ones, which the compiler treats like those that were searched (Part 1, Table 7).

A problem's labelled steps are a path; what was proposed beside a step is a sibling of it that nothing follows. Labels become the
verdicts of the tree's judge, who is the publisher:

| label | verdict | why |
|---|---|---|
| correct | correct | |
| neutral | unknown | not wrong, so no wrong turn; of no help, so nothing to be held up as right |
| incorrect | incorrect | with the publisher's reason, where there is one |
| after_error, none | none | nobody said anything of the step itself; that it stands on an error, its ancestors tell |

Where the labelled path does not reach the answer, a solution of the publisher's own in lines (GSM8K's, not MATH's prose) stands
beside it, from the first step on in which they differ: without a right path a wrong one is no lesson.
"""

import re
from collections.abc import Sequence

from services.distiller.solutions import Unusable, worked_solution
from shared.answers.extract import final_answer
from shared.answers.verify import GradingError, verify
from shared.contracts.base import Origin
from shared.contracts.problem import LabelledStep, Problem, Proposal, StepLabel
from shared.contracts.tree import Node, ReasoningTree, Verdict

VERDICTS = {StepLabel.CORRECT: Verdict.CORRECT, StepLabel.NEUTRAL: Verdict.UNKNOWN, StepLabel.INCORRECT: Verdict.INCORRECT}
SCORES = {StepLabel.CORRECT: 1.0, StepLabel.NEUTRAL: 0.5, StepLabel.INCORRECT: 0.0}
REASON = "model_output_solution_first_error_reason"
"""Where MR-GSM8K's rows say what is wrong with their first wrong step."""
_NUMBER = re.compile(r"^step\s+\d+\s*[:.)-]\s*", re.IGNORECASE)


async def tree_of(problem: Problem, tree_id: str, origin: Origin) -> ReasoningTree:
    """The tree of a problem's labelled steps. Raises Unusable if it has none, or an answer in them cannot be compared."""
    if not problem.steps:
        raise Unusable("no labelled steps")
    growing = _Growing(problem)
    try:
        await growing.labelled(problem.steps)
        if not any(node.verified for node in growing.nodes):
            await growing.right_path()
    except GradingError as error:
        raise Unusable("an answer in its steps cannot be compared") from error
    bare = problem.model_copy(update={"steps": ()})  # they are the nodes now
    return ReasoningTree(id=tree_id, problem=bare, nodes=tuple(growing.nodes), strategy="imported", reward="labels", origin=origin)


class _Growing:
    """The nodes so far."""

    def __init__(self, problem: Problem) -> None:
        self.nodes = [Node(id=0, parent=None, depth=0, text="")]
        self._problem = problem

    async def labelled(self, steps: Sequence[LabelledStep]) -> None:
        """The path with its alternatives. It ends at the first step that states an answer: nothing can follow one."""
        reason = self._problem.metadata.get(REASON)
        parent = 0
        for step in steps:
            on_path = await self._add(parent, step, str(reason) if reason else None)
            for other in step.alternatives:
                await self._add(parent, other, None)
            if on_path.final:
                return
            parent = on_path.id

    async def right_path(self) -> None:
        """The publisher's own solution, if its lines are steps."""
        solution = self._problem.solution or ""
        if not solution.strip() or "\\" in solution:
            return
        try:
            lines = (await worked_solution(self._problem)).splitlines()
        except Unusable:
            return  # a solution that states another answer is none
        parent = 0
        for line in lines:
            beside = [node for node in self.nodes if node.parent == parent and node.verdict is not Verdict.INCORRECT]
            here = [node for node in beside if _same(node.text, line)]
            found = here[0] if here else await self._add(parent, Proposal(text=line, label=StepLabel.CORRECT), None)
            if found.final:
                return
            parent = found.id

    async def _add(self, parent: int, step: Proposal, reason: str | None) -> Node:
        answer = final_answer(step.text)
        node = Node(
            id=len(self.nodes),
            parent=parent,
            depth=self.nodes[parent].depth + 1,
            text=step.text,
            score=SCORES.get(step.label),
            verdict=VERDICTS.get(step.label),
            reason=reason if step.label is StepLabel.INCORRECT else None,
            final=answer is not None,
            answer=answer,
            verified=None if answer is None else await verify(self._problem.answer, answer),
        )
        self.nodes.append(node)
        return node


def _same(left: str, right: str) -> bool:
    one, other = (" ".join(_NUMBER.sub("", text).casefold().split()).rstrip(".") for text in (left, right))
    return one == other
