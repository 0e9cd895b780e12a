"""Whether a problem is in a benchmark, as it is, reworded a little, or within a longer text.

Runs of n words, as GPT-3's authors looked for them (arXiv 2005.14165, appendix C): one shared run of the longest n is enough. A
shorter one may be a common phrase ("express your answer as a common fraction in"), so `share` of the runs of the shorter text must
be the same benchmark problem's. Problems too short for the longest n are compared whole.
"""

from collections import Counter
from collections.abc import Iterable

from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from services.distiller.words import ngrams, numbers, words
from shared.contracts.problem import Problem
from shared.contracts.stages.data import Decontamination


class Benchmarks:
    """An index of benchmark problems."""

    def __init__(self, setting: Decontamination) -> None:
        self._longest = max(setting.ngrams)
        self._shorter = sorted(set(setting.ngrams) - {self._longest}, reverse=True)
        self._share, self._likeness = setting.share, setting.likeness
        self._names: list[str] = []
        self._runs: dict[int, dict[str, list[int]]] = {n: {} for n in setting.ngrams}
        self._counts: dict[int, list[int]] = {n: [] for n in setting.ngrams}
        self._short: dict[int, str] = {}
        self._numbers: dict[int, list[str]] = {}

    def add(self, benchmark: str, problems: Iterable[Problem]) -> int:
        """Takes a benchmark's problems in; returns how many they are."""
        before = len(self._names)
        for problem in problems:
            place, found = len(self._names), words(problem.question)
            self._names.append(f"{benchmark} {problem.id}")
            for n, runs in self._runs.items():
                mine = set(ngrams(found, n))
                self._counts[n].append(len(mine))
                for run in mine:
                    runs.setdefault(run, []).append(place)
            if len(found) < self._longest:
                self._short[place], self._numbers[place] = " ".join(found), numbers(found)
        return len(self._names) - before

    def find(self, problem: Problem) -> str | None:
        """Where a problem was found, and how; None if it is in no benchmark."""
        found = words(problem.question)
        for run in ngrams(found, self._longest):
            if places := self._runs[self._longest].get(run):
                return f'{self._longest} words in a row are in {self._names[places[0]]}: "{run}"'
        for n in self._shorter:
            if reason := self._shares(found, n):
                return reason
        return self._alike(found) if len(found) < self._longest else None

    def _shares(self, found: list[str], n: int) -> str | None:
        mine = set(ngrams(found, n))
        shared = Counter(place for run in mine for place in self._runs[n].get(run, ()))
        for place, count in shared.most_common(3):
            share = count / min(len(mine), self._counts[n][place])
            if share >= self._share:
                return f"{share:.0%} of the runs of {n} words are those of {self._names[place]}"
        return None

    def _alike(self, found: list[str]) -> str | None:
        """A short problem against the benchmarks' short ones with the same numbers."""
        mine = numbers(found)
        rivals = {place: text for place, text in self._short.items() if self._numbers[place] == mine}
        best = process.extractOne(
            " ".join(found), rivals, scorer=Levenshtein.normalized_similarity, score_cutoff=self._likeness, processor=None
        )
        if best is None:
            return None
        return f"it is {'the same as' if best[1] == 1 else f'{best[1]:.0%} alike'} {self._names[best[2]]}"
