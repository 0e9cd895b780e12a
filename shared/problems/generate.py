"""Bundled generators of problems: seeded, endless sequences of distinct problems."""

from collections.abc import Callable, Iterator
from itertools import islice

from shared.contracts.problem import Problem
from shared.problems import arithmetic, mistakes

_MIXED = (arithmetic.sequence, lambda seed: arithmetic.sequence(seed, arithmetic.HARD))
"""One of each in turn: problem number n of either family is number 2n, or 2n + 1, of the mixture, under the family's own id."""
GENERATORS: dict[str, Callable[[int], Iterator[Problem]]] = {
    "arithmetic": arithmetic.sequence,
    "arithmetic-hard": _MIXED[1],
    "arithmetic-mixed": lambda seed: (one for both in zip(*(source(seed) for source in _MIXED), strict=False) for one in both),
    "arithmetic-labelled": mistakes.sequence,
}
MOST_GENERATED = 1_000_000
"""Problems of a sequence that a recipe may pass over and take: it is walked from its start."""


def generate(generator: str, seed: int, skip: int = 0, count: int | None = None) -> Iterator[Problem]:
    """Problems `skip` to `skip + count` (all that follow, without `count`) of the sequence that `generator` and `seed` name.

    No problem comes twice in a sequence, so disjoint slices are disjoint sets. Raises ValueError on an unknown generator.
    """
    if generator not in GENERATORS:
        raise ValueError(f"no generator `{generator}` (known: {', '.join(GENERATORS)})")
    return islice(GENERATORS[generator](seed), skip, None if count is None else skip + count)
