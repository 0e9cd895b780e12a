"""What judged samples add to a model's figures: the mean score, and the share of answers that were not attempted."""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import TypedDict

from shared.contracts.grading import NOT_ATTEMPTED, Rubric
from shared.contracts.thought import Response

SCALE = 100.0


class Judged(TypedDict):
    """Fields of a ModelScore; None where no sample was judged so."""

    score_mean: float | None
    score_stderr: float | None
    not_attempted: float | None


def judged(problems: Sequence[Sequence[Response]]) -> Judged:
    """The figures of graded samples, grouped by problem. Every problem weighs the same, whatever the number of its samples."""
    judgements = [[sample.judgement for sample in group if sample.judgement] for group in problems]
    scores = [fmean(scored) for group in judgements if (scored := [one.score for one in group if one.score is not None])]
    facts = [[one.verdict == NOT_ATTEMPTED for one in group if one.rubric is Rubric.FACTS] for group in judgements]
    shares = [sum(flags) / len(flags) for flags in facts if flags]
    return {
        "score_mean": fmean(scores) if scores else None,
        "score_stderr": mean_error(scores) if scores else None,
        "not_attempted": fmean(shares) if shares else None,
    }


def mean_error(values: Sequence[float]) -> float:
    """Standard error of the mean of problems' mean scores: their standard deviation (of N-1) over the root of their number.

    One problem tells nothing of the spread: the bound, half the scale, is given then (as `metrics.standard_error` does).
    """
    if len(values) == 1:
        return SCALE / 2
    mean = fmean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) * (len(values) - 1)))
