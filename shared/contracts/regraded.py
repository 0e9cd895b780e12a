"""Regraded: what became of the verdicts on some stored samples."""

from typing import Annotated

from pydantic import Field

from shared.contracts.base import Record

Number = Annotated[int, Field(ge=0)]


class Regraded(Record):
    """The verdicts of an earlier run on samples of one model, beside those of today's grader.

    A sample that could not be graded, then or now, is in neither of the two counts of changes.
    """

    model: str
    samples: Number
    judged: Number
    """Of these, how many a judge graded: their verdicts stay."""
    wrong_to_right: Number
    right_to_wrong: Number
    ungraded_before: Number
    ungraded: Number
