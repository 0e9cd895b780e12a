"""Near-duplicates: problems that share most of their words' 5-shingles (MinHash, then the exact Jaccard likeness).

Two problems with other numbers are two problems, however alike their words: a template filled in anew is another exercise. So only
problems with the same numbers are compared. The first of a group stays.
"""

from datasketch import MinHash, MinHashLSH

from services.distiller.words import ngrams, numbers, words
from shared.contracts.problem import Problem

SHINGLE = 5
PERMUTATIONS = 128
MARGIN = 0.1
"""Candidates are looked for this far below the threshold: MinHash estimates."""


class Seen:
    """The problems met so far."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._lsh = MinHashLSH(threshold=max(0.05, threshold - MARGIN), num_perm=PERMUTATIONS)
        self._problems: list[Problem] = []

    def duplicate_of(self, problem: Problem) -> str | None:
        """Which earlier problem it is alike, in words; None for a new one, which is then remembered."""
        found = words(problem.question)
        shingles = _shingles(found)
        sketch = MinHash(num_perm=PERMUTATIONS, seed=1)
        sketch.update_batch([f"{' '.join(numbers(found))}|{shingle}".encode() for shingle in sorted(shingles)])
        for place in sorted(self._lsh.query(sketch)):
            earlier = words(self._problems[place].question)
            other = _shingles(earlier)
            alike = len(shingles & other) / len(shingles | other)
            if alike >= self._threshold and numbers(earlier) == numbers(found):
                return f"{alike:.0%} alike {self._problems[place].id}"
        self._lsh.insert(len(self._problems), sketch)
        self._problems.append(problem)
        return None


def _shingles(found: list[str]) -> set[str]:
    """Runs of SHINGLE words; of a shorter text, the whole."""
    return set(ngrams(found, SHINGLE)) or {" ".join(found)}
