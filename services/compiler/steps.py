"""What a step's line says: its number, its words without the number, and the equalities that can be re-checked exactly."""

import re
from dataclasses import dataclass
from fractions import Fraction

_NUMBERED = re.compile(r"\s*step\s+(\d+)\s*[:.)]\s*", re.IGNORECASE)
_NUMBER = r"\$?(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?!\d|,\d|\.\d)"
# One operation on two plain numbers, and no part of a longer one: "a = 5 * 6 = 30" holds one, "2 + 5 * 6 = 32" none.
_EQUALITY = re.compile(
    rf"(?<![\w.,*/+×÷^(−-])(?<![*/+×÷^(−-] )(?<![*/+×÷^(−-]\$)(?<![*/+×÷^(−-] \$)"
    rf"{_NUMBER} ?([-+*/×÷−]) ?{_NUMBER} ?= ?{_NUMBER}(?! ?[-+*/×÷−^%)] ?[\d$(])"
)
SLIP = re.compile(r"(?P<left>[^=]+?) = (?P<right>[^=]+?), not (?P<wrong>[^=]+?)\.?")
"""A judge's reason that gives another result and no more: "27 - 21 = 6, not 4"."""
_OPERATORS = {"×": "*", "÷": "/", "−": "-"}


@dataclass(frozen=True)
class Equality:
    """One operation on two numbers and the result that a step states."""

    left: str
    operator: str
    right: str
    result: str

    @property
    def text(self) -> str:
        """As `5 * 6 = 30`."""
        return f"{self.left} {self.operator} {self.right} = {self.result}"

    @property
    def holds(self) -> bool:
        """Whether it is exactly true."""
        return _apply(self.left, self.operator, self.right) == _value(self.result)

    @property
    def inverse(self) -> str | None:
        """The same fact from its result, as `30 / 6 = 5`; None where that says nothing (a result or factor of 0)."""
        back = {"+": "-", "-": "+", "*": "/", "/": "*"}[self.operator]
        if _value(self.right) == 0 or _apply(self.result, back, self.right) != _value(self.left):
            return None
        return f"{self.result} {back} {self.right} = {self.left}"


def number_of(text: str) -> int | None:
    """The number that a step's line begins with (`Step 3: ...`); None if it has none."""
    found = _NUMBERED.match(text)
    return int(found[1]) if found else None


def sameness(text: str) -> str:
    """What two lines share that say the same: their words and numbers, whatever the case, spacing and the step's number."""
    return " ".join(_NUMBERED.sub("", text, count=1).casefold().split()).rstrip(". ")


def equalities(text: str) -> list[Equality]:
    """The equalities of one operation on two plain numbers that `text` states, in order; thousands commas and $ are taken off."""
    found = []
    for match in _EQUALITY.finditer(text):
        left, operator, right, result = (part.replace(",", "") for part in match.groups())
        equality = Equality(left, _OPERATORS.get(operator, operator), right, result)
        if not (equality.operator == "/" and _value(right) == 0):
            found.append(equality)
    return found


def _value(number: str) -> Fraction:
    return Fraction(number)


def _apply(left: str, operator: str, right: str) -> Fraction | None:
    a, b = _value(left), _value(right)
    if operator == "/":
        return a / b if b else None
    return {"+": a + b, "-": a - b, "*": a * b}[operator]
