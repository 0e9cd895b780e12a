"""Majority votes over canonical answers."""

from collections import Counter
from collections.abc import Sequence

from shared.answers.canonical import canonical


def majority(answers: Sequence[str | None]) -> dict[str, float]:
    """Canonical answer -> its share of the win: {winner: 1.0}, or n winners with 1/n each; empty if nobody answered.

    None (no answer stated) does not vote. The expected accuracy of Maj@k is the sum of the shares of the right answers.
    """
    votes = Counter(canonical(answer) for answer in answers if answer is not None)
    if not votes:
        return {}
    most = max(votes.values())
    winners = sorted(answer for answer, count in votes.items() if count == most)
    return {answer: 1 / len(winners) for answer in winners}
