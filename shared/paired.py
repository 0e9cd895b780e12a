"""Two models on the same problems: the difference of their accuracies with an interval, and a test of it.

Problems are what was drawn, so problems are what is drawn again: samples of one problem are not independent of each other (Miller,
"Adding error bars to evals", 2024, section 4).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

Graded = Mapping[str, Sequence[bool]]
"""Problem -> whether each graded sample is right."""
RESAMPLES = 5000


@dataclass(frozen=True)
class Paired:
    """`second` against `first`, on the problems that both were measured on; shares, not percent."""

    problems: int
    first: float
    """pass@1: the mean over problems of the share of right samples."""
    second: float
    difference: float
    low: float
    """Ends of the 95% interval of the difference, by a bootstrap over problems; -1 and 1 of one problem, which tells no spread."""
    high: float
    only_first: int
    """Problems whose first sample is right of the first model alone."""
    only_second: int
    p_value: float
    """Exact McNemar test on these: how likely so uneven a split is if neither model is better."""


def paired(first: Graded, second: Graded, seed: int = 0) -> Paired:
    """The comparison. Raises ValueError if they have no problem in common."""
    common = sorted(problem for problem in first if first[problem] and second.get(problem))
    if not common:
        raise ValueError("the two were measured on no problem in common")
    shares = [(_share(first[problem]), _share(second[problem])) for problem in common]
    differences = [b - a for a, b in shares]
    low, high = _interval(differences, seed)
    only_first = sum(first[problem][0] and not second[problem][0] for problem in common)
    only_second = sum(second[problem][0] and not first[problem][0] for problem in common)
    return Paired(
        problems=len(common),
        first=_mean([a for a, _ in shares]),
        second=_mean([b for _, b in shares]),
        difference=_mean(differences),
        low=low,
        high=high,
        only_first=only_first,
        only_second=only_second,
        p_value=mcnemar(only_first, only_second),
    )


@dataclass(frozen=True)
class Arms:
    """Two ways of training against each other, each with several seeds, on the same problems; shares, not percent."""

    problems: int
    seeds: int
    """Of the arm that has fewer."""
    first: float
    second: float
    difference: float
    """`second` less `first`: the mean over problems and seeds of either."""
    low: float
    """Ends of the 95% interval, by a bootstrap over problems and over the seeds of either arm; -1 and 1 of one problem."""
    high: float


def arms(first: Sequence[Graded], second: Sequence[Graded], seed: int = 0) -> Arms:
    """The comparison; an arm is a list of models, one a seed. Raises ValueError if they have no problem in common.

    S seeds drawn from S vary by (S-1)/S of what they should (narrowness bias: Hesterberg, "What teachers should know about the
    bootstrap", 2015, doi 10.1080/00031305.2015.1089789; of three, a third too little), so what the drawn seeds add is widened by
    the root of S/(S-1). An arm of one seed says nothing of seeds.
    """
    common = sorted(set.intersection(*({name for name, flags in model.items() if flags} for model in (*first, *second))))
    if not common:
        raise ValueError("the models were measured on no problem in common")
    shares = [[[_share(model[problem]) for problem in common] for model in arm] for arm in (first, second)]
    rng = Random(seed)
    means = []
    for _ in range(RESAMPLES):
        drawn = rng.choices(range(len(common)), k=len(common))
        ends = []
        for arm in shares:
            seeds = [_mean([model[place] for place in drawn]) for model in arm]
            centre, widened = _mean(seeds), math.sqrt(len(seeds) / max(1, len(seeds) - 1))
            ends.append(centre + widened * (_mean(rng.choices(seeds, k=len(seeds))) - centre))
        means.append(min(1.0, max(-1.0, ends[1] - ends[0])))
    means.sort()
    one, other = (_mean([share for model in arm for share in model]) for arm in shares)
    low, high = (means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1]) if len(common) > 1 else (-1.0, 1.0)
    return Arms(len(common), min(len(first), len(second)), one, other, other - one, low, high)


def mcnemar(one: int, other: int) -> float:
    """Exact two-sided McNemar test: of `one + other` problems that the two disagree on, each goes either way with chance 1/2."""
    n, k = one + other, min(one, other)
    return min(1.0, 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n) if n else 1.0


def _interval(differences: Sequence[float], seed: int) -> tuple[float, float]:
    """The middle 95% of the means of RESAMPLES draws with replacement."""
    if len(differences) == 1:
        return -1.0, 1.0
    rng = Random(seed)
    means = sorted(_mean(rng.choices(differences, k=len(differences))) for _ in range(RESAMPLES))
    return means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1]


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
