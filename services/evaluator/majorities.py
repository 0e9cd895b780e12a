"""Maj@k of one problem for every k, in expectation over the subsets of its stored samples: exact, and nothing is drawn.

A subset is won by the answer with the most votes in it. For an answer to win with m votes, every other answer must have fewer than
m in the subset, or m itself: a tie. The subsets of each size that have t such ties are counted by a generating function, a
polynomial in x (samples taken) and y (ties), so that hundreds of samples cost no more than additions.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache
from math import comb

import numpy as np
from numpy.typing import NDArray

from shared.answers.canonical import canonical
from shared.contracts.thought import Response

Floats = NDArray[np.float64]
MOST = 128
"""Larger majorities are not reckoned: they cost more than they tell, and their counts of subsets outgrow floating point."""


def majority_curve(samples: Sequence[Response], most: int) -> Floats:
    """Expected accuracy of Maj@k for k = 1 .. `most`, shape (most,); with fewer samples than k, that of all of them.

    Ties are drawn evenly; a sample that states no answer takes part and does not vote; a subset without votes is wrong. An answer
    counts with the share of its samples that were graded right: all or none where grading depends on the answer alone, and in any
    case Maj@1 is the share of right samples. Equals `metrics.majority_right` where k is the number of samples.
    """
    graded: defaultdict[str, list[bool]] = defaultdict(list)
    for sample in samples:
        if sample.extracted is not None:
            graded[canonical(sample.extracted)].append(sample.verified)
    answers = tuple(sorted((len(flags), sum(flags) / len(flags)) for flags in graded.values()))
    expected = np.array(_expected(answers, len(samples) - sum(votes for votes, _ in answers), min(most, len(samples))))
    return np.pad(expected, (0, most - len(expected)), mode="edge")


@lru_cache(maxsize=4096)  # with few samples, most problems look like another
def _expected(answers: tuple[tuple[int, float], ...], silent: int, most: int) -> tuple[float, ...]:
    """As `majority_curve`, of answers as (votes, share right) and `silent` samples without one."""
    total = silent + sum(votes for votes, _ in answers)
    won = np.zeros(most + 1)
    for (votes, right), times in Counter(answers).items():
        if right == 0:
            continue
        others = [count for count, _ in answers]
        others.remove(votes)
        for m in range(1, min(votes, most) + 1):
            won[m:] += times * right * comb(votes, m) * _subsets(others, silent, m, most - m)
    return tuple(won[k] / comb(total, k) for k in range(1, most + 1))


def _subsets(others: Sequence[int], silent: int, m: int, most: int) -> Floats:
    """For each size 0 .. `most`: how many subsets of the other samples let an answer with m votes win, a t-fold tie as 1/(t+1).

    `others`: votes of each other answer. Shape (most + 1,).
    """
    ways = np.zeros((most + 1, most // m + 1))  # [samples taken, ties]
    ways[: silent + 1, 0] = [comb(silent, taken) for taken in range(min(silent, most) + 1)]
    for votes in others:
        grown = ways.copy()
        for taken in range(1, min(votes, m - 1, most) + 1):
            grown[taken:] += comb(votes, taken) * ways[: most + 1 - taken]
        if m <= min(votes, most):
            grown[m:, 1:] += comb(votes, m) * ways[: most + 1 - m, :-1]
        ways = grown
    shares: Floats = ways @ (1 / np.arange(1, ways.shape[1] + 1))
    return shares
