"""Arithmetic word problems with solutions that may go wrong, every step labelled: for measuring rewards where the truth is known.

The problems are those of `arithmetic`. Two solutions of three hold one mistake; what follows it is calculated from it, rightly:

| mistake | instead of `30 - 4 = 26` |
|---|---|
| sum | `30 - 4 = 24`: the sum is wrong |
| copy | `30 - 6 = 24`: a number is not the one that the problem, or an earlier step, gives |
| operation | `30 + 4 = 34`: the wrong thing is calculated |

The sums alone betray only the first kind. Steps before the mistake are correct, the mistake is incorrect, the rest is
`after_error`; `metadata` says which kind it is (`none`, if none) and at which step.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from shared.contracts.problem import LabelledStep, Problem, StepLabel
from shared.problems import arithmetic

WRONG_SHARE = 2 / 3
"""Chance of a mistake."""
KINDS = ("sum", "copy", "operation")
SLIPS = (-10, -2, -1, 1, 2, 10)
"""By how much a wrong sum may be off."""
WRONG_OPERATION = {"+": "-*", "-": "+", "*": "+", "/": "-*"}
MOST_RESULT = 1000
_STEP = re.compile(r"Step \d+: (\d+) ([-+*/]) (\d+) = (\d+) (.+)\.")


@dataclass(frozen=True)
class Sum:
    """One step: an equality. `left_of`, `right_of`: the step (from 0) whose result that number is; None: the problem's own
    number.
    """

    left: int
    operator: str
    right: int
    result: int
    unit: str
    left_of: int | None = None
    right_of: int | None = None


def sequence(seed: int) -> Iterator[Problem]:
    """The endless sequence of `seed`: the problems of `arithmetic.sequence(seed)`, each with a labelled solution."""
    for place, problem in enumerate(arithmetic.sequence(seed)):
        rng = Random(f"arithmetic-labelled/{seed}/{place}")
        right = sums_of(problem)
        planted = plant(rng, problem, right) if rng.random() < WRONG_SHARE else None
        wrong, first, kind = planted or (right, len(right) + 1, "none")
        texts = [*(_text(number, one) for number, one in enumerate(wrong)), f"The answer is {wrong[-1].result}."]
        yield problem.model_copy(
            update={
                "id": f"arithmetic-labelled-{seed}-{place}",
                "source": "arithmetic-labelled",
                "steps": tuple(LabelledStep(text=text, label=_label(number, first)) for number, text in enumerate(texts)),
                "metadata": {"mistake": kind, **({"mistake_step": first + 1} if planted else {})},
            }
        )


def sums_of(problem: Problem) -> list[Sum]:
    """The sums of an arithmetic problem's own solution, and which number comes from which step.

    A product in the middle multiplies two numbers of the problem ("2 bags of 8 more"), and the next step adds it to the total so
    far; every other step but the first begins with that total.
    """
    found = [_STEP.fullmatch(line) for line in (problem.solution or "").splitlines()[:-1]]
    sums: list[Sum] = []
    total: int | None = None
    for place, match in enumerate(found):
        assert match is not None, f"{problem.id}: not a step of the arithmetic generator"
        left, operator, right, result, unit = match.groups()
        one = Sum(int(left), operator, int(right), int(result), unit)
        aside = 0 < place < len(found) - 1 and operator == "*"
        if not aside:
            product = place - 1 if total is not None and total != place - 1 else None
            one, total = replace(one, left_of=total, right_of=product), place
        sums.append(one)
    return sums


def plant(rng: Random, problem: Problem, right: Sequence[Sum]) -> tuple[list[Sum], int, str] | None:
    """The solution with one mistake, its place (from 0) and its kind; None if no mistake can be carried on in whole numbers."""
    given = sorted({int(number) for number in re.findall(r"\d+", problem.question)})
    kinds = rng.sample(KINDS, len(KINDS))
    places = rng.sample(range(len(right)), len(right))
    for kind in kinds:
        for place in places:
            choices = list(_mistakes(kind, right[place], given))
            for wrong in rng.sample(choices, len(choices)):
                carried = _carry_on(right, place, wrong)
                if carried is not None:
                    return carried, place, kind
    return None


def _mistakes(kind: str, one: Sum, given: Sequence[int]) -> Iterator[Sum]:
    """All ways to get a step wrong in one way; each has another result than the step."""
    if kind == "sum":
        found = [replace(one, result=one.result + slip) for slip in SLIPS]
    elif kind == "copy":
        found = [_calculated(replace(one, left=number)) for number in given if number != one.left]
        found += [_calculated(replace(one, right=number)) for number in given if number != one.right]
    else:
        found = [_calculated(replace(one, operator=operator)) for operator in WRONG_OPERATION[one.operator]]
    yield from (wrong for wrong in found if 0 < wrong.result <= MOST_RESULT and wrong.result != one.result)


def _calculated(one: Sum) -> Sum:
    """With the result that its numbers have; 0 (which no step has) where that is no whole number."""
    if one.operator == "/":
        whole = one.right > 0 and one.left % one.right == 0
        return replace(one, result=one.left // one.right if whole else 0)
    return replace(one, result={"+": one.left + one.right, "-": one.left - one.right, "*": one.left * one.right}[one.operator])


def _carry_on(right: Sequence[Sum], place: int, wrong: Sum) -> list[Sum] | None:
    """The steps with a wrong one among them, what follows calculated from it; None if that leaves the whole positive numbers, or
    comes to the right answer after all.
    """
    steps = [*right[:place], wrong]
    for one in right[place + 1 :]:
        left = one.left if one.left_of is None else steps[one.left_of].result
        other = one.right if one.right_of is None else steps[one.right_of].result
        steps.append(_calculated(replace(one, left=left, right=other)))
    sound = all(0 < one.result <= MOST_RESULT for one in steps)
    return steps if sound and steps[-1].result != right[-1].result else None


def _text(number: int, one: Sum) -> str:
    return f"Step {number + 1}: {one.left} {one.operator} {one.right} = {one.result} {one.unit}."


def _label(place: int, first: int) -> StepLabel:
    return StepLabel.CORRECT if place < first else StepLabel.INCORRECT if place == first else StepLabel.AFTER_ERROR
