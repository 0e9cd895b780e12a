"""Majority votes over canonical answers, each vote counted once (self-consistency, arXiv 2203.11171) or by its weight."""

import math
from collections import defaultdict
from collections.abc import Sequence

from shared.answers.canonical import canonical

TIE = 1e-9
"""Sums of weights that differ by less than this share of the larger one are equal: 0.1 + 0.2 ties with 0.3, in any unit."""


def majority(answers: Sequence[str | None], weights: Sequence[float] | None = None) -> dict[str, float]:
    """Canonical answer -> its share of the win: {winner: 1.0}, or n winners with 1/n each; empty if nobody answered.

    None (no answer stated) does not vote. The expected accuracy of Maj@k is the sum of the shares of the right answers.

    `weights` (none negative, one an answer): the answer with the largest sum wins, as when a verifier's scores weigh the votes
    (arXiv 2206.02336, 2211.14275). A weight of 0 does not vote. None: all weigh the same.
    """
    votes: defaultdict[str, list[float]] = defaultdict(list)
    for answer, weight in zip(answers, [1.0] * len(answers) if weights is None else weights, strict=True):
        if answer is not None:
            votes[canonical(answer)].append(weight)
    sums = {answer: math.fsum(parts) for answer, parts in votes.items()}
    most = max(sums.values(), default=0.0)
    if most == 0:
        return {}
    winners = sorted(answer for answer, total in sums.items() if total >= most * (1 - TIE))
    return {answer: 1 / len(winners) for answer in winners}
