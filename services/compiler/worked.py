"""Checks worked out in parts: how a person re-checks an equality on paper, in steps so small that each is easy.

    48 - 27 = 21    checked by 21 + 20 = 41, 41 + 7 = 48
    48 - 23 = 29    refuted by 29 + 20 = 49, 49 + 3 = 52, which is not 48;
                    put right by 48 - 23, 38 - 13, 28 - 3, 27 - 2, 26 - 1, 25 - 0: it is 25
    18 / 6 = 4      refuted by 4 * 6 = 24, which is not 18; put right by 1 * 6 = 6, 2 * 6 = 12, 3 * 6 = 18: it is 3
    32 * 6 = 192    checked by 30 * 6 = 180, 2 * 6 = 12, 180 + 12 = 192

A difference and a quotient are checked by the inverse operation, which finds out more: a model that has just written a wrong
result is inclined to write it again. For the same reason a refutation comes to its verdict after the sum, does not go the wrong
step's own way again where there is another, and ends with what is right. Without that, seven of eight steps that SmolLM2 did
again were wrong again, a quarter of them with the same result, although the right one stood in most checks of its sums. What is
right is counted out: of differences that SmolLM2 had to get in one go (19 - 16 = 3, 12 - 3 = 9) a third were wrong. Both numbers of
a difference go down together, so that the end of the count is where it stands: of 28 - 1 = 27, 28 - 2 = 26, 28 - 3 = 25 nearly all
equalities were right, and every second count went on too long, or stopped too soon.

Parts are those of decimal places and no smaller: going by way of the next ten (49 + 1 = 50, 50 + 6 = 56) taught SmolLM2 false
alarms, three times as many, and cost 6 points. Only whole numbers up to LARGEST are worked out.
"""

import operator
import re

from services.compiler.steps import Equality, equalities

LARGEST = 9_999
FEW = 12
"""Most multiples that are gone through."""
UNLIKE = ", which is not "
"""Between what the inverse operation comes to and what it should: nobody wrote that, as "..., not 4" would say."""
IT_IS = ". It is "
"""Before what is right, at the end."""
_VERDICT = re.compile(r"(, which is not \d+|\. It is \d+)$")
_INVERSE = {"-": "+", "/": "*"}
_APPLY = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def check(equality: Equality) -> str | None:
    """A true equality, checked: equalities with commas between; None if it is none of small whole numbers."""
    numbers = _whole(equality)
    if numbers is None or not equality.holds:
        return None
    left, right, result = numbers
    if back := _INVERSE.get(equality.operator):
        return _worked(result, back, right)
    return _worked(left, equality.operator, right)


def refutation(step: str) -> str | None:
    """What is wrong with the last equality of a step's line, checked and put right, without a full stop at its end.

    None if it holds, or is none of small whole numbers.
    """
    found = equalities(step)
    numbers = _whole(found[-1]) if found else None
    if numbers is None or found[-1].holds:
        return None
    left, right, claimed = numbers
    sign = found[-1].operator
    if sign == "/":
        whole = right and left % right == 0
        right_way = f". {_multiples(left // right, right)}{IT_IS}{left // right}" if whole else ""
        return f"{_worked(claimed, '*', right)}{UNLIKE}{left}{right_way}"
    if sign == "-":
        if right > left:
            return None
        return f"{_worked(claimed, '+', right)}{UNLIKE}{left}. {_counted_down(left, right)}{IT_IS}{left - right}"
    return f"{_worked(left, sign, right)}, not {claimed}{IT_IS}{_APPLY[sign](left, right)}"


def _counted_down(left: int, right: int) -> str:
    """A difference, and differences that are equal to it, down to one of which 0 is taken away: by tens, then by ones."""
    said = [f"{left} - {right}"]
    unit = 10 ** (len(str(right)) - 1)
    while right:
        while right >= unit:
            left, right = left - unit, right - unit
            said.append(f"{left} - {right}")
        unit //= 10
    return ", ".join(said)


def _multiples(quotient: int, divisor: int) -> str:
    """A quotient: the divisor's multiples, one by one where they are few."""
    if not 0 < quotient <= FEW:
        return _worked(quotient, "*", divisor)
    return ", ".join(f"{times} * {divisor} = {times * divisor}" for times in range(1, quotient + 1))


def worked_out(reason: str) -> bool:
    """Whether a reason is a refutation of this file's, which is its own verdict."""
    return _VERDICT.search(reason) is not None and bool(equalities(reason))


def _whole(equality: Equality) -> tuple[int, int, int] | None:
    numbers = [int(text) if text.isdecimal() else -1 for text in (equality.left, equality.right, equality.result)]
    left, right, result = numbers
    return (left, right, result) if min(numbers) >= 0 and max(numbers) <= LARGEST else None


def _worked(left: int, sign: str, right: int) -> str:
    """The calculation in parts: the second number, or the larger factor, by its decimal places."""
    if sign == "*":
        return _product(left, right)
    said = []
    for part in _places(right) or [0]:
        after = _APPLY[sign](left, part)
        said.append(f"{left} {sign} {part} = {after}")
        left = after
    return ", ".join(said)


def _places(number: int) -> list[int]:
    """2048 -> [2000, 40, 8]."""
    digits = str(number)
    return [int(digit) * 10 ** (len(digits) - 1 - place) for place, digit in enumerate(digits) if digit != "0"]


def _product(left: int, right: int) -> str:
    large, small = max(left, right), min(left, right)
    places = _places(large)
    if len(places) < 2:
        return f"{left} * {right} = {left * right}"
    total, said = 0, []
    for number, place in enumerate(places):
        said.append(f"{place} * {small} = {place * small}")
        if number:
            said.append(f"{total} + {place * small} = {total + place * small}")
        total += place * small
    return ", ".join(said)
