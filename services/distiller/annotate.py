"""People's sketches of thoughts, expanded by a teacher: finer steps, pauses, a student's voice, nothing invented (Part 1, Q3).

A sketch is a few lines with every trial, reflection and correction:

    5 boxes of 6 pens: 5 + 6 = 11
    No, that adds boxes to pens. Each box holds 6.
    5 * 6 = 30

Its expansion is aligned with it: each sentence goes to one line, in order, and each line must be found again in its sentences.
"""

import re
from collections.abc import Sequence

from services.distiller.asking import Asked, Finding, Teacher, answer_lost
from services.distiller.words import words
from shared import prompts
from shared.contracts.problem import Problem

PROMPT = "annotate"
TOO_LONG = "it was too long and was cut off before its end: write less"
ENOUGH = 0.5
"""Least share of a line's words that its expansion must have."""
LONGER = 1.25
"""Least length of an expansion, of its sketch's words: the sketch itself with a last line is none."""
ALIKE = 0.25
"""A sentence that has no more of a line's words has them by chance."""
_CUT = re.compile(r"(?<=[.!?])\s+|\n+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_DOUBT = re.compile(
    r"\b(?:wait|hmm|hold on|wrong|mistake|error|slip|incorrect|no(?=[,.:; ])|not|cannot|can't|doesn't|isn't|actually|should be"
    r"|instead|go(?:ing)? back|back to|again|re-?consider|re-?think|another way|try)\b",
    re.IGNORECASE,
)


def sketch_of(problem: Problem) -> list[str]:
    """The lines of a problem's sketch; none if it has no sketch."""
    return [line.strip() for line in str(problem.metadata.get("sketch", "")).splitlines() if line.strip()]


async def annotate(problem: Problem, sketch: Sequence[str], teacher: Teacher, retries: int) -> Asked:
    """The sketch as a long thought, if one of the teacher's passed the checks. Raises EngineError."""

    def prompt(findings: Sequence[str]) -> str:
        return prompts.render(PROMPT, question=problem.question, sketch=sketch, answer=problem.answer, findings=findings)

    async def check(text: str) -> list[Finding]:
        return await expansion_findings(problem.answer, sketch, text)

    return await teacher.ask("thought", prompt, check, retries, when_cut=TOO_LONG)


async def expansion_findings(answer: str, sketch: Sequence[str], text: str) -> list[Finding]:
    """What an expansion lost of its sketch."""
    findings = [
        Finding("a step is missing", f'this step of the sketch is missing, changed or out of order: "{line}"')
        for line, said in zip(sketch, expanded(sketch, text), strict=True)
        if not _survives(line, said)
    ]
    findings += await answer_lost(answer, text)
    if len(words(text)) < LONGER * sum(len(words(line)) for line in sketch):
        findings.append(Finding("not longer", "it is hardly longer than the sketch: make the steps finer"))
    return findings


def expanded(sketch: Sequence[str], text: str) -> list[str]:
    """For each line of the sketch the sentences that stand for it; '' where none does.

    The alignment in which sentences are most like their lines, and which never goes back: an expansion keeps the sketch's order.
    """
    sentences = [sentence for sentence in _CUT.split(text) if sentence.strip()]
    totals = [0.0] * len(sketch)  # of the best alignments whose last sentence so far stands for each line
    came_from: list[list[int]] = []
    for sentence in sentences:
        origins, best = [], 0
        for place in range(len(sketch)):
            best = place if totals[place] > totals[best] else best
            origins.append(best)
        totals = [totals[origin] + _likeness(line, sentence) for line, origin in zip(sketch, origins, strict=True)]
        came_from.append(origins)
    said = [""] * len(sketch)
    at = max(range(len(sketch)), key=totals.__getitem__)
    for sentence, origins in zip(reversed(sentences), reversed(came_from), strict=True):
        said[at] = f"{sentence} {said[at]}"
        at = origins[at]
    return said


def _likeness(line: str, sentence: str) -> float:
    return max(0.0, _share(line, sentence) - ALIKE)


def _survives(line: str, said: str) -> bool:
    """Whether the sentences that stand for a line have its numbers, enough of its words, and its doubt."""
    found = set(words(said))
    if not all(number in found for number in words(line) if _NUMBER.fullmatch(number)):
        return False
    if _DOUBT.search(line) and not _DOUBT.search(said):
        return False
    return _share(line, said) >= ENOUGH


def _share(line: str, said: str) -> float:
    """How much of a line's words and numbers is in what is said, 0 to 1, by their lengths; numbers count like words of six."""
    weights = {word: 6 if _NUMBER.fullmatch(word) else len(word) for word in words(line)}
    found = set(words(said))
    return sum(weight for word, weight in weights.items() if word in found) / sum(weights.values()) if weights else 1.0
