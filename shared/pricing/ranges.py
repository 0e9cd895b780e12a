"""A quantity that is not known exactly: the least, the expected, the most."""

import math
from collections.abc import Iterable
from typing import Self

from pydantic import Field, model_validator

from shared.contracts.base import Frozen


class Range(Frozen):
    """Three figures of one quantity, none negative, in order. Sums and products go figure by figure, as all are monotone."""

    low: float = Field(ge=0)
    expected: float
    high: float

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low <= self.expected <= self.high:
            raise ValueError(f"{self.low:g}, {self.expected:g}, {self.high:g}: low, expected and high must rise")
        return self

    def __add__(self, other: "Range | float") -> "Range":
        more = ranged(other)
        return Range(low=self.low + more.low, expected=self.expected + more.expected, high=self.high + more.high)

    def __mul__(self, other: "Range | float") -> "Range":
        by = ranged(other)
        return Range(low=self.low * by.low, expected=self.expected * by.expected, high=self.high * by.high)

    def at_most(self, limit: "Range | float") -> "Range":
        """Each figure, or the limit's where that is less."""
        most = ranged(limit)
        return Range(low=min(self.low, most.low), expected=min(self.expected, most.expected), high=min(self.high, most.high))

    def up(self) -> "Range":
        """Each figure rounded up to a whole number; what is whole but for floating point's last digits stays."""
        low, expected, high = (math.ceil(round(value, 6)) for value in (self.low, self.expected, self.high))
        return Range(low=low, expected=expected, high=high)

    @property
    def exact(self) -> bool:
        """Whether all three are the same."""
        return self.low == self.high


def ranged(value: Range | float) -> Range:
    """A number as the range that holds it alone."""
    return value if isinstance(value, Range) else Range(low=value, expected=value, high=value)


def between(low: float, expected: float, high: float) -> Range:
    """A range whose expected value is brought between its ends."""
    return Range(low=low, expected=min(max(expected, low), high), high=high)


NOTHING = ranged(0.0)


def total(parts: Iterable[Range]) -> Range:
    """The sum; nothing of none."""
    return sum(parts, NOTHING)
