"""Whether a rewritten thought still says what its draft says. The rewrite is aligned with the draft, piece by piece and in order.

The alignment is also what leads the rewritten text back to the tree: every sentence becomes part of the span of one piece.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import fuzz

from services.compiler.claims import new_claims
from services.compiler.steps import equalities, sameness
from services.compiler.traverse import Piece
from shared.answers.canonical import canonical
from shared.answers.extract import final_answer
from shared.answers.verify import verify
from shared.contracts.problem import Problem
from shared.contracts.thought import Role, Span

ENOUGH = 0.6
"""Least likeness (0 to 1) of a piece and the sentences that stand for it."""
KEPT = 0.5
"""Least share of a step's numbers that the words for it must have."""
SKIPPED = 40.0
"""What leaving out a piece costs an alignment, in characters of a perfect match."""

_BACK = (
    r"(?:go(?:ing)? back|back to|start(?:ing)? (?:over|again|afresh)|begin again|return(?:ing)? to|redo|undo|rewrite"
    r"|(?:that|this|it|step \d+),? (?:again|once more)|try again|more carefully|all was well|another way"
    r"|different(?:ly| way| approach)|instead"
    r"|from (?:step \d+|there|the (?:start|beginning))|re-?consider|re-?think|correct (?:that|this|step))"
)
_BACKTRACK = re.compile(rf"\b{_BACK}\b", re.IGNORECASE)
_DOUBT = re.compile(
    r"\b(?:wait|hmm|hold on|wrong|mistake|error|slip|incorrect|no(?=[,.])|not|cannot|can't|doesn't|isn't|actually|should be"
    r"|I (?:wrote|said|had))\b",
    re.IGNORECASE,
)
_CHECK = re.compile(r"\b(?:check|verif|sure|confirm|test|correct|right|hold|again|backwards)", re.IGNORECASE)
_LET_ME = r"(?:so |and |then )?(?:let me|let's|I(?:'ll| will| should| must| need to| have to)?)"
_CUT = re.compile(rf"(?<=[.!?])[ \t]+|\n+|(?<=[,;:—–]) (?={_LET_ME} {_BACK}\b)", re.IGNORECASE)
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_WORD = re.compile(r"\w+|[^\w\s]")
_STEPS = (Role.STEP, Role.WRONG_STEP, Role.CONCLUSION)


@dataclass(frozen=True)
class Checked:
    """A rewrite's spans and what is wrong with it; `spans` are sound only if there are no findings."""

    spans: tuple[Span, ...]
    findings: tuple[str, ...]


async def check(problem: Problem, pieces: Sequence[Piece], text: str) -> Checked:
    """Aligns `text` with its draft. Every step (wrong ones above all), reflection, backtrack and the answer must survive, in order,
    and nothing may be claimed that the draft does not claim.

    The spans partition `text`. Raises GradingError if the text's answer cannot be compared.
    """
    sentences = split(text)
    if not sentences:
        return Checked((), ("the text is empty",))
    places = align(pieces, sentences)
    said = [""] * len(pieces)
    for sentence, place in zip(sentences, places, strict=True):
        said[place] += sentence
    findings = await lost_or_added(problem, pieces, said)
    spans = tuple(
        Span(text=words, role=piece.role, node_id=piece.node_id) for piece, words in zip(pieces, said, strict=True) if words
    )
    return Checked(spans, tuple(findings))


async def lost_or_added(problem: Problem, pieces: Sequence[Piece], said: Sequence[str]) -> list[str]:
    """What is wrong with the words `said` for each piece of a draft. Raises GradingError."""
    findings = [finding for piece, words in zip(pieces, said, strict=True) if (finding := _finding(piece, words))]
    findings += new_claims(problem.question, pieces, said)
    stated = final_answer("".join(said))
    if stated is None or not await verify(problem.answer, stated):
        findings.append(f'another answer: the text must end with "The answer is {problem.answer}." (it states {stated or "none"})')
    return findings


def split(text: str) -> list[str]:
    """Sentences, lines, and clauses that go back, with the white space that follows each: joined again they are `text`."""
    ends = [match.end() for match in _CUT.finditer(text)]
    parts = [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]
    return [part for part in parts if part]


def align(pieces: Sequence[Piece], sentences: Sequence[str]) -> list[int]:
    """For each sentence the number of the piece it stands for, never falling.

    The best such alignment: the most likeness, weighted by the sentences' lengths, less SKIPPED for each piece left out.
    """
    skipped = [0.0]  # skipped[k]: what leaving out the first k pieces costs
    for piece in pieces:
        skipped.append(skipped[-1] + (0.0 if piece.role is Role.VERIFICATION else SKIPPED))
    best = [-skipped[number] for number in range(len(pieces))]  # of all alignments whose last sentence stands for piece `number`
    came_from: list[list[int]] = []
    for place, sentence in enumerate(sentences):
        weight = len(sentence.strip())
        following, origins = [], []
        reach, origin = float("-inf"), 0  # the best over earlier pieces, their skipped pieces paid back up to there
        for number, piece in enumerate(pieces):
            stay, move = best[number], reach - skipped[number]
            before, through = (stay, number) if place == 0 or stay >= move else (move, origin)
            following.append(before + weight * max(0.0, 2 * likeness(piece, sentence) - 1))  # half alike is not alike
            origins.append(through)
            if best[number] + skipped[number + 1] > reach:
                reach, origin = best[number] + skipped[number + 1], number
        best = following
        came_from.append(origins)
    at = max(range(len(pieces)), key=lambda number: best[number] + skipped[number + 1])
    places = []
    for origins in reversed(came_from):
        places.append(at)
        at = origins[at]
    return places[::-1]


def likeness(piece: Piece, words: str) -> float:
    """How well `words` stand for a piece, 0 to 1: by words and numbers; for reflections and backtracks by what such words say."""
    if piece.role is Role.BACKTRACK:
        return 1.0 if _BACKTRACK.search(words) else 0.0
    (left, numbers), (right, others) = _read(piece.text), _read(words)
    alike: float = fuzz.token_set_ratio(left, right) / 100
    if numbers and others:
        shared = sum(min(count, others[number]) for number, count in numbers.items() if number in others)
        alike = (alike + shared / min(numbers.total(), others.total())) / 2
    if piece.role is Role.REFLECTION:
        return 0.75 + alike / 4 if _DOUBT.search(words) else alike * 0.6
    if piece.role in _STEPS and any(cue.search(words) and not cue.search(piece.text) for cue in (_DOUBT, _BACKTRACK)):
        return alike * 0.6  # "Hmm, 30 cannot be" says much the same as "The answer is 30.", but does another thing
    if piece.role is Role.VERIFICATION and not _CHECK.search(words):
        return alike * 0.6
    return alike


def _finding(piece: Piece, words: str) -> str | None:
    """What a piece lost in the rewrite; None if it survived. A verification may go."""
    if piece.role is Role.VERIFICATION:
        return None
    survived = likeness(piece, words) >= ENOUGH if words else False
    if piece.role in _STEPS and survived:
        survived = _same_result(piece.text, words) and _stated(words) == _stated(piece.text)
    if piece.role is Role.BACKTRACK and (back := _BACKTRACK.search(words)):
        survived = not equalities(words[: back.start()])  # a step, and then "let me go over that once more": a re-check of it
    if survived:
        return None
    what = {
        Role.STEP: "this step is missing, changed or out of order",
        Role.WRONG_STEP: "this wrong step is missing, corrected too early or out of order",
        Role.REFLECTION: "the words are missing that say what was wrong",
        Role.BACKTRACK: "the words are missing that go back",
        Role.CONCLUSION: "the conclusion is missing",
    }[piece.role]
    return f'{what}: "{piece.text}"'


def _same_result(step: str, words: str) -> bool:
    """Whether words arrive at what a step arrives at, its last number, with most of its numbers.

    Where they state equalities, one of these must arrive there: "30 / 6 = 5" has the numbers of "5 * 6 = 30", but is another step.
    """
    numbers = _numbers(sameness(step))
    if not numbers:
        return True
    others, result = set(_numbers(words)), numbers[-1]
    results = {equality.result for equality in equalities(words)}
    kept = len(set(numbers) & others) >= KEPT * len(set(numbers))
    return kept and result in others and (not results or not equalities(step) or result in results)


def _stated(text: str) -> str | None:
    """The final answer that a text states, in the form that equal answers share."""
    answer = final_answer(text)
    return None if answer is None else canonical(answer)


def _numbers(text: str) -> list[str]:
    return [number.rstrip(",").replace(",", "") for number in _NUMBER.findall(text)]


@lru_cache(4096)  # each piece is held against every sentence
def _read(text: str) -> tuple[str, Counter[str]]:
    """A text's words and signs, with spaces between, and its numbers."""
    same = sameness(text)
    return " ".join(_WORD.findall(same)), Counter(_NUMBER.findall(same))
