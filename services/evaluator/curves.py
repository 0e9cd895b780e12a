"""Budget curves: what accuracy a model has for how many output tokens, estimated from its stored samples; nothing is sampled anew.

Below a response's natural length it is cut, above it several are sampled and the majority answers (Part 1, arXiv 2410.18982, and
Part 2, arXiv 2411.16489, measure accuracy beside average output tokens and spend larger budgets on Maj@k).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from services.evaluator import metrics
from services.evaluator.majorities import MOST, majority_curve
from services.evaluator.weighted import weighted_curve
from shared.contracts.report import CurvePoint
from shared.contracts.thought import Response

Floats = NDArray[np.float64]
Head = tuple[Literal["cut", "majority", "weighted"], int, int, float]
"""Kind, budget, k and average tokens of a point."""
RESAMPLES = 2000
BATCH = 250
"""So many resamples at once: their weights are a matrix of BATCH by problems."""
OWN = 13
"""Budgets at quantiles of the lengths of a model's right samples, beside those that all models share."""


def budget_curve(samples: Sequence[Response], max_tokens: int, seed: int) -> tuple[CurvePoint, ...]:
    """One model's curve: its cuts from the smallest budget up, then Maj@k for k = 1, 2, ..., and where votes have weights, weighted
    Maj@k likewise; at least one sample must be graded.

    **cut** at b tokens: a sample counts as right if it is right and has at most b tokens, and costs min(tokens, b). This estimates
    what the model would get if it were stopped after b tokens and no answer were forced from it. It errs on the low side: a sample
    that states its answer and talks on past b counts as wrong, since where in a text its tokens end is not stored. A model that is
    *told* its budget may do better than one that is cut. The last cut cuts nothing: its accuracy is pass@1, its cost the average.

    **majority** of k: expected accuracy over all subsets of k of a problem's n graded samples (`majority_curve`), at k times the
    average tokens of a sample; a problem with fewer than k counts with all it has. `budget` is k times `max_tokens`, which is the
    most that a response may take. Left out where samples are right that state no answer (there is nothing to vote on), and where a
    judge graded: a majority of verdicts is a vote that nobody could take without the judge.

    **weighted** of k: the same by sums of weights, over a problem's graded samples that have one (`weighted_curve`), and over the
    problems that have such samples. What the reward reads is in no cost: it writes nothing.

    Every problem weighs the same. Bands are 95% percentile intervals of a bootstrap over problems (accuracy alone: costs are taken
    as they are); where all problems agree they have no width, and with one problem, which tells nothing of the spread, they are 0
    to 1.
    """
    problems = metrics.graded_by_problem(samples)
    lengths = np.array([sample.completion_tokens for sample in samples])
    budgets = _budgets(lengths, np.array([sample.completion_tokens for group in problems for sample in group if sample.verified]))
    able = all(sample.extracted is not None for group in problems for sample in group if sample.verified)
    votes = able and not any(sample.judgement for sample in samples)
    most = min(MOST, max(len(group) for group in problems)) if votes else 0
    accuracies = np.array([np.concatenate([_cut(group, budgets), majority_curve(group, most)]) for group in problems])
    average = metrics.average_tokens(samples)
    heads: list[Head] = [("cut", int(budget), 1, float(np.minimum(lengths, budget).mean())) for budget in budgets]
    heads += [("majority", k * max_tokens, k, k * average) for k in range(1, most + 1)]
    weighted = metrics.with_weights(problems) if votes else []
    if not weighted:
        return _points(heads, accuracies, seed)
    most = min(MOST, max(len(group) for group in weighted))
    more: list[Head] = [("weighted", k * max_tokens, k, k * average) for k in range(1, most + 1)]
    by_weight = np.array([weighted_curve(group, most, seed) for group in weighted])
    return (*_points(heads, accuracies, seed), *_points(more, by_weight, seed))


def _points(heads: Sequence[Head], accuracies: Floats, seed: int) -> tuple[CurvePoint, ...]:
    """A point a head, the mean of its column of `accuracies`, which has a row a problem."""
    accuracies = accuracies.clip(0, 1)
    means = accuracies.mean(axis=0)
    low, high = _bands(accuracies, seed)
    return tuple(
        CurvePoint(kind=kind, budget=budget, k=k, avg_tokens=cost, accuracy=means[place], low=low[place], high=high[place])
        for place, (kind, budget, k, cost) in enumerate(heads)
    )


def _budgets(lengths: NDArray[np.int_], right: NDArray[np.int_]) -> NDArray[np.int_]:
    """Where to cut, rising: from the shortest right sample (below it the accuracy is 0) to the longest of all.

    Between them four to an octave (.., 64, 80, 96, 112, 128, ..), at which models can be compared, and quantiles of the right ones.
    """
    first, last = int((right if len(right) else lengths).min()), int(lengths.max())
    series = [quarter * 2**octave for octave in range(last.bit_length()) for quarter in (4, 5, 6, 7)]
    own = np.quantile(right, np.linspace(0, 1, OWN), method="nearest") if len(right) else ()
    return np.array(sorted({first, last, *(budget for budget in series if first < budget < last), *(int(one) for one in own)}))


def _cut(samples: Sequence[Response], budgets: NDArray[np.int_]) -> Floats:
    """Share of one problem's samples that are right within each budget."""
    lengths = np.array([sample.completion_tokens for sample in samples])[:, None]
    right = np.array([sample.verified for sample in samples])[:, None]
    shares: Floats = (right & (lengths <= budgets)).mean(axis=0)
    return shares


def _bands(accuracies: Floats, seed: int) -> tuple[Floats, Floats]:
    """2.5th and 97.5th percentile of the columns' means over resampled rows; `accuracies` has a row a problem."""
    count, width = accuracies.shape
    if count == 1:
        return np.zeros(width), np.ones(width)
    random = np.random.default_rng(seed)
    even = np.full(count, 1 / count)
    means = [random.multinomial(count, even, size=BATCH) @ accuracies / count for _ in range(RESAMPLES // BATCH)]
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975), axis=0).clip(0, 1)
    return low, high
