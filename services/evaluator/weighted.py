"""Weighted Maj@k of one problem for every k, in expectation over the subsets of its stored samples.

Sums of weights are all different, so subsets cannot be counted as those of equal votes are (`majorities`): each has to be looked
at. Where a size has at most EXACT subsets, all are, and the figure is exact: any size of up to 16 samples, the smallest and the
largest of more. Of other sizes DRAWN subsets are drawn with a seed: a standard error of at most 0.008 on one problem's figure (the
deviation of a share is at most 0.5), and on a mean over problems less by the root of their number, as each is drawn for itself.
"""

import itertools
import zlib
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from math import comb

import numpy as np
from numpy.typing import NDArray

from shared.answers.canonical import canonical
from shared.answers.vote import TIE
from shared.contracts.thought import Response

Floats = NDArray[np.float64]
EXACT = 16_384
DRAWN = 4_096


def weighted_curve(samples: Sequence[Response], most: int, seed: int) -> Floats:
    """Expected accuracy of the weighted majority of k for k = 1 .. `most`, shape (most,); with fewer samples, that of all of them.

    All of `samples` have a weight. Ties are drawn evenly; a sample that states no answer, or weighs nothing, takes part and does
    not vote; a subset without votes is wrong. An answer counts with the share of its samples that were graded right. Equals
    `metrics.weighted_right` where k is the number of samples, and `majority_curve` where all weights are equal and all subsets
    are looked at.
    """
    ordered = sorted(samples, key=lambda sample: sample.draw)  # what is drawn must not hang on the order of reading
    votes, right = _votes(ordered)
    count = len(ordered)
    sizes = range(1, min(most, count) + 1)
    drawn = [size for size in sizes if comb(count, size) > EXACT]
    accuracies = dict(zip(drawn, _drawn(votes, right, drawn, [seed, zlib.crc32(ordered[0].problem_id.encode())]), strict=True))
    for size in sizes:
        if size not in accuracies:
            accuracies[size] = float(_won(_subsets(count, size) @ votes, right).mean())
    found = np.array([accuracies[size] for size in sizes])
    return np.pad(found, (0, most - len(found)), mode="edge")


def _votes(samples: Sequence[Response]) -> tuple[Floats, Floats]:
    """What each sample gives to each answer, shape (samples, answers); and the share of each answer's samples that is right."""
    graded: defaultdict[str, list[bool]] = defaultdict(list)
    stated = [None if sample.extracted is None else canonical(sample.extracted) for sample in samples]
    for sample, answer in zip(samples, stated, strict=True):
        if answer is not None:
            graded[answer].append(sample.verified)
    answers = sorted(graded)
    votes = np.zeros((len(samples), len(answers)))
    for place, (sample, answer) in enumerate(zip(samples, stated, strict=True)):
        if sample.weight is None:
            raise ValueError(f"sample {sample.id} has no weight")
        if answer is not None:
            votes[place, answers.index(answer)] = sample.weight
    return votes, np.array([sum(graded[answer]) / len(graded[answer]) for answer in answers])


@lru_cache(maxsize=64)
def _subsets(count: int, size: int) -> NDArray[np.bool_]:
    """All subsets of `size` of `count` samples, a row each: who is in it. At most EXACT rows."""
    members = np.array(list(itertools.combinations(range(count), size)))
    rows = np.zeros((len(members), count), dtype=bool)
    np.put_along_axis(rows, members, True, axis=1)
    return rows


def _drawn(votes: Floats, right: Floats, sizes: Sequence[int], seed: list[int]) -> list[float]:
    """Mean accuracies over DRAWN subsets of each of these sizes (rising): the beginnings of random orders of the samples."""
    if not sizes:
        return []
    count, answers = votes.shape
    orders = np.random.default_rng(seed).permuted(np.tile(np.arange(count), (DRAWN, 1)), axis=1)
    sums = np.zeros((DRAWN, answers))
    found = []
    for taken in range(sizes[-1]):
        sums += votes[orders[:, taken]]
        if taken + 1 in sizes:
            found.append(float(_won(sums, right).mean()))
    return found


def _won(sums: Floats, right: Floats) -> Floats:
    """The probability that each subset's winner is right, of sums of weights by subset and answer."""
    if not sums.shape[1]:
        return np.zeros(len(sums))
    most = sums.max(axis=1, keepdims=True)
    winners = (sums >= most * (1 - TIE)) & (most > 0)
    shares: Floats = (winners * right).sum(axis=1) / np.maximum(winners.sum(axis=1), 1)
    return shares
