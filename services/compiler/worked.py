"""Checks worked out in parts: how a person re-checks an equality on paper, in steps so small that each is easy.

    48 - 27 = 21    checked by 21 + 20 = 41, 41 + 7 = 48
    48 - 27 = 29    refuted by 29 + 20 = 49, 49 + 7 = 56, which is not 48; put right by 48 - 20 = 28, 28 - 7 = 21
    32 * 6 = 192    checked by 30 * 6 = 180, 2 * 6 = 12, 180 + 12 = 192

A difference and a quotient are checked by the inverse operation, which finds out more: a model that has just written a wrong result
is inclined to write it again. Parts are those of decimal places and no smaller: going by way of the next ten (49 + 1 = 50,
50 + 6 = 56) taught SmolLM2 false alarms, three times as many, and cost 6 points. Only whole numbers up to LARGEST are worked out.
"""

import operator

from services.compiler.steps import Equality, equalities

LARGEST = 9_999
UNLIKE = ", which is not "
"""Between what the inverse operation comes to and what it should: nobody wrote that, as "..., not 4" would say."""
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
        return f"{_worked(claimed, '*', right)}{UNLIKE}{left}"
    if sign == "-" and right <= left:
        return f"{_worked(claimed, '+', right)}{UNLIKE}{left}. {_worked(left, '-', right)}"
    return None if sign == "-" else f"{_worked(left, sign, right)}, not {claimed}"


def wrong_result(reason: str) -> bool:
    """Whether a reason is a refutation by the inverse operation."""
    return UNLIKE in reason and bool(equalities(reason))


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
