"""PersonScore: what a person said of one sample of an evaluation; and how people's scores compare with the machine's."""

from typing import Annotated

from pydantic import AfterValidator, Field

from shared.contracts.base import Frozen, Record
from shared.contracts.grading import Score

ALL = "all"
"""Everybody, in a report."""


def _not_all(scorer: str) -> str:
    if scorer == ALL:
        raise ValueError(f"`{ALL}` means everybody")
    return scorer


Scorer = Annotated[str, Field(max_length=30, pattern=r"^[^\x00-\x1f]+$"), AfterValidator(_not_all)]
"""Who scored: short, as it is a part of the record's key."""
Share = Annotated[float | None, Field(ge=0, le=1)]
"""None: of nothing, so there is no share."""
RIGHT, WRONG = "right", "wrong"
"""The verdicts on a sample that no judge was asked about."""


class PersonScore(Record):
    """One person's score of one sample, kept beside it under the key SAMPLE@SCORER."""

    sample: str
    """The sample's id."""
    model: str
    problem_id: str
    draw: int
    scorer: Scorer
    verdict: str
    """Of the judge's rubric; without a judge `right` or `wrong`."""
    score: Score | None = None
    """Where the judge's rubric is one of scores; the verdict follows from it and the pass mark."""


class PeopleScore(Frozen):
    """One person's scores of one model's samples, beside what the machine made of the same samples."""

    model: str
    scorer: str
    """`all`: everybody's, where there are several."""
    n: int
    """Samples that the person scored; those that the machine could not grade are in none of the shares."""
    right: Share | None
    """Of the person's verdicts; None where the machine could grade none of the samples."""
    machine_right: Share | None
    """Of the judge's (or the grader's) on the same samples."""
    equal: Share | None
    """Share of the samples on which both give the same verdict."""
    mean: Score | None = None
    """Of the person's scores, of samples that the judge scored, too, where there are any."""
    machine_mean: Score | None = None
    correlation: Annotated[float | None, Field(ge=-1, le=1)] = None
    """Pearson's, between the person's scores and the judge's; None for fewer than two, or where one side is constant."""
