"""The figures of a reward on labelled steps: pure functions of labels and verdicts.

A step is *wrong* if its label is incorrect, and *called* wrong if the reward's verdict is. `unknown` is not a call: a search goes
on from such a step as from a right one. Neutral steps (PRM800K's rating 0) are not wrong.

**Steps.** Every step that stands on right steps counts, alternatives included; one that follows an error (`after_error`) does not,
for what is right there is a matter of taste. That is the step level of ReasonEval (arXiv 2404.05692; the labels behind the
first error are "N/A" in github.com/GAIR-NLP/ReasonEval, codes/mr-gsm8k_eval.py), whose rewards the reports compare on
MR-GSM8K, and the way PRM800K was labelled. ReasonEval's F1 is the mean of both classes' F1: here `macro_f1`. F1 itself is of the
class "wrong".

**Solutions** (MR-GSM8K's first task, arXiv 2312.17080, section 3): a solution is wrong if one of its steps is, and called wrong if
one of its steps is called so, wherever. `mcc` is that task's own measure.

**First error** (MR-GSM8K's second task; ProcessBench, arXiv 2412.06559): of the wrong solutions the share of which the
first step called wrong is the first that is wrong; beside it, of the right ones, the share of which none is called wrong.
ProcessBench's F1 is the harmonic mean of the two. A solution with an unlabelled step before its first error (or anywhere, if it
has no error) tells neither, and is left out of both.
"""

import math
from collections.abc import Iterable, Sequence

from shared.contracts.judged import Confusion, JudgedSolution, JudgedStep
from shared.contracts.problem import StepLabel
from shared.contracts.tree import Verdict


def counted(step: JudgedStep) -> bool:
    """Whether a step counts at step level."""
    return step.label not in (StepLabel.AFTER_ERROR, StepLabel.NONE)


def is_wrong(step: JudgedStep) -> bool:
    """What the label says."""
    return step.label is StepLabel.INCORRECT


def is_called(step: JudgedStep) -> bool:
    """What the reward says."""
    return step.verdict is Verdict.INCORRECT


def path(solution: JudgedSolution) -> list[JudgedStep]:
    """The solution itself, without alternatives."""
    return [step for step in solution.steps if not step.alternative]


def first(flags: Sequence[bool]) -> int | None:
    """Place of the first that is true."""
    return next((place for place, flag in enumerate(flags) if flag), None)


def tells(steps: Sequence[JudgedStep]) -> bool:
    """Whether the labels say where a solution goes wrong, or that it does not: no step before that is without one."""
    error = first([is_wrong(step) for step in steps])
    return bool(steps) and all(step.label is not StepLabel.NONE for step in steps[:error])


def confusion(pairs: Iterable[tuple[bool, bool]]) -> Confusion:
    """Of pairs (wrong, called wrong)."""
    counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for pair in pairs:
        counts[pair] += 1
    tp, fn, fp, tn = counts.values()
    f1, other = share(2 * tp, 2 * tp + fp + fn), share(2 * tn, 2 * tn + fp + fn)
    spread = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return Confusion(
        found=tp,
        missed=fn,
        accused=fp,
        passed=tn,
        precision=share(tp, tp + fp),
        recall=share(tp, tp + fn),
        f1=f1,
        macro_f1=None if f1 is None or other is None else (f1 + other) / 2,
        mcc=max(-1.0, min(1.0, (tp * tn - fp * fn) / spread)) if spread else None,
    )


def step_level(solutions: Iterable[JudgedSolution]) -> Confusion:
    """Over all counted steps."""
    return confusion((is_wrong(step), is_called(step)) for one in solutions for step in one.steps if counted(step))


def solution_level(solutions: Iterable[JudgedSolution]) -> Confusion:
    """Over all solutions whose labels tell."""
    paths = (path(solution) for solution in solutions)
    return confusion((any(map(is_wrong, steps)), any(map(is_called, steps))) for steps in paths if tells(steps))


def first_error(solutions: Iterable[JudgedSolution]) -> tuple[float | None, float | None, float | None]:
    """(accuracy on wrong solutions, accuracy on right ones, harmonic mean); None where there is no such solution."""
    outcomes: dict[bool, list[bool]] = {True: [], False: []}
    for steps in (path(solution) for solution in solutions):
        if tells(steps):
            error = first([is_wrong(step) for step in steps])
            outcomes[error is not None].append(first([is_called(step) for step in steps]) == error)
    wrong, right = (share(sum(hits), len(hits)) for hits in (outcomes[True], outcomes[False]))
    if wrong is None or right is None:
        return wrong, right, None
    return wrong, right, 2 * wrong * right / (wrong + right) if wrong + right else 0.0


def share(part: int, whole: int) -> float | None:
    """None of nothing."""
    return part / whole if whole else None
