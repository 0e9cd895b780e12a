"""Whether a model finds its own slips: read off its texts, by doing the sums again.

Step 3: 48 - 27 = 29 pens.                                                                   a wrong step,
Check: 29 + 20 = 49, 49 + 7 = 56, which is not 48. 48 - 20 = 28, 28 - 7 = 21. Redo step 3.
Step 3: 48 - 27 = 21 pens.                                                                   and it was given up
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from shared.answers.equalities import equalities

_STEP = re.compile(r"\s*step\s+(\d+)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Checks:
    """Steps that state a sum, by whether it holds, and how many of either were given up.

    A step is given up where the next one has its number, or an earlier one's, whatever is said in between.
    """

    wrong: int = 0
    found: int = 0
    right: int = 0
    doubted: int = 0

    @property
    def found_words(self) -> str:
        """`948 of 1,263 (75%)`."""
        return _of(self.found, self.wrong)

    @property
    def doubted_words(self) -> str:
        """`102 of 1,955 (5%)`."""
        return _of(self.doubted, self.right)


def checks_of(text: str) -> Checks:
    """The steps of one text; those that state no sum which can be read are not counted."""
    steps = [(int(match[1]), line) for line in text.splitlines() if (match := _STEP.match(line))]
    wrong = found = right = doubted = 0
    for place, (number, line) in enumerate(steps):
        stated = equalities(line)
        if not stated:
            continue
        given_up = place + 1 < len(steps) and steps[place + 1][0] <= number
        if all(one.holds for one in stated):
            right, doubted = right + 1, doubted + given_up
        else:
            wrong, found = wrong + 1, found + given_up
    return Checks(wrong, found, right, doubted)


def added(checks: Iterable[Checks]) -> Checks:
    """The sums."""
    several = list(checks)
    return Checks(*(sum(getattr(one, name) for one in several) for name in ("wrong", "found", "right", "doubted")))


def _of(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({100 * part / whole:.0f}%)" if whole else "none"
