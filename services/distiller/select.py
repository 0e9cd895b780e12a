"""Responses chosen among those that verified: such as look back at themselves, and at most so many a problem (Part 2, 5.2).

All are read once for their figures; whole texts are held of one problem at a time.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from services.distiller.words import ngrams, words
from shared.contracts.stages import SelectStage
from shared.contracts.thought import Response
from shared.statistics import words_of

SHINGLE = 3
"""Two responses are as alike as their runs of so many words (Jaccard)."""


@dataclass(frozen=True)
class Candidate:
    """A verified response's figures; its text stays in the ledger."""

    stage: str
    id: str
    place: tuple[int, int, str]
    """Its stage's place in the list, its draw, its id: the order in which it comes first."""
    length: int
    """Characters of its completion."""
    found: Mapping[str, int]
    """n-gram -> occurrences in its completion, where there are any."""


@dataclass
class Survey:
    """All candidates, and what was passed over."""

    groups: dict[tuple[str, bytes], list[Candidate]] = field(default_factory=dict)
    """By problem and question: a translated question is another one."""
    passed_over: Counter[str] = field(default_factory=Counter)
    considered: int = 0


def survey(stage: SelectStage, responses: Iterable[tuple[str, Response]]) -> Survey:
    """Reads all responses, each with its stage's name, in the order of the stages. Of equal texts the first is a candidate."""
    patterns = {ngram: words_of(ngram) for ngram in stage.contains}
    found, seen = Survey(), set()
    for name, response in responses:
        found.considered += 1
        text = response.completion
        counts = {ngram: number for ngram, pattern in patterns.items() if (number := len(pattern.findall(text)))}
        digest = sha256(f"{response.problem_id}\0{response.question}\0{text}".encode()).digest()
        if reason := _unfit(response, stage, counts, digest in seen):
            found.passed_over[reason] += 1
            continue
        seen.add(digest)
        place = (stage.responses.index(name), response.draw, response.id)
        group = (response.problem_id, sha256(response.question.encode()).digest())
        found.groups.setdefault(group, []).append(Candidate(name, response.id, place, len(text), counts))
    return found


def ordered(candidates: Iterable[Candidate], stage: SelectStage) -> list[Candidate]:
    """One problem's candidates, the preferred ones first (`diverse` begins with the first and needs `diverse` to go on)."""
    first = sorted(candidates, key=lambda one: one.place)
    if stage.prefer in ("longest", "shortest"):
        return sorted(first, key=lambda one: one.length, reverse=stage.prefer == "longest")  # stable: ties stay in order
    return first


def diverse(texts: Sequence[str], count: int) -> list[int]:
    """Places of `count` texts: the first, then each time the one whose most alike among those taken is least alike."""
    shingles = [frozenset(ngrams(words(text), SHINGLE)) for text in texts]
    taken, left = [0], list(range(1, len(texts)))
    while left and len(taken) < count:
        alike = {place: max(_jaccard(shingles[place], shingles[other]) for other in taken) for place in left}
        best = min(left, key=lambda place: (alike[place], place))
        taken.append(best)
        left.remove(best)
    return taken


def named(chosen: Sequence[Candidate]) -> list[str]:
    """An id for each: its own, or `STAGE/ID` where two stages' responses have the same."""
    counts = Counter(one.id for one in chosen)
    names = [f"{one.stage}/{one.id}" if counts[one.id] > 1 else one.id for one in chosen]
    return names if len(set(names)) == len(names) else [f"{one.stage}/{one.id}" for one in chosen]


def _unfit(response: Response, stage: SelectStage, counts: Mapping[str, int], seen: bool) -> str | None:
    if not response.verified:
        if response.finish_reason != "stop":
            return "was cut"
        return "could not be graded" if response.grading_error else "did not verify"
    if sum(counts.values()) < stage.at_least:
        return "too few n-grams"
    return "the same text as another" if seen else None


def _jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    return len(left & right) / len(left | right) if left | right else 1.0
