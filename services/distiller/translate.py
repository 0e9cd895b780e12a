"""Responses in another language, mathematics untouched: it goes out as placeholders and comes back as it was (Part 2, 5.2)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz

from services.distiller.asking import UNGRADED, Answer, Asked, Finding, Teacher, answer_lost
from services.distiller.formulae import differences, protect, restore
from shared import prompts
from shared.contracts.base import Origin
from shared.contracts.stages import TranslateStage
from shared.contracts.thought import Response

PROMPT = "translate"
SAME = 0.8
"""A text so like its original (1 less the normalised edit distance of their words) was not translated."""
LEAST = 0.1
"""Least length of a translation's words, of its original's: Chinese takes about a third of the letters that English takes."""
_LETTERS = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class Translated:
    """What came of one response."""

    response: Response | None
    failed: str | None
    retries: int


async def translate(
    original: Response, stage: TranslateStage, teacher: Teacher, origin: Origin, question: Asked, identity: str
) -> Translated:
    """A verified response with question, reasoning and text in the language. Raises EngineError.

    `question` is its question's translation, asked for once for all responses to it; `identity` names the original in the item.
    """
    parts, retries = [question], 0
    for name, text, answer in (("reasoning", original.reasoning, None), ("text", original.text, original.answer)):
        if parts[-1].answer is None:
            break
        about = f"{identity}/{name}"
        part = await translated(text, about, stage, teacher, answer) if text else Asked(Answer("", "stop"), None, 0)
        parts.append(part)
        retries += part.retries
    done = [part.answer for part in parts if part.answer is not None]
    if len(done) < 3:
        return Translated(None, parts[-1].failed, retries)
    response = original.model_copy(
        update={
            "id": f"{identity}@{stage.language}",
            "question": done[0].text,
            "reasoning": done[1].text or None,
            "text": done[2].text,
            "origin": origin,
            "model": teacher.uri,
            "prompt_tokens": sum(answer.prompt_tokens for answer in done[1:]),
            "completion_tokens": sum(answer.completion_tokens for answer in done[1:]),
        }
    )
    return Translated(response, None, retries)


async def translated(text: str, about: str, stage: TranslateStage, teacher: Teacher, answer: str | None) -> Asked:
    """A text in the stage's language; `answer`: the known one, where the text states it. Raises EngineError."""
    before = protect(text)
    if not _LETTERS.search(before.words):  # mathematics alone: nothing to translate
        return Asked(Answer(text, "stop"), None, 0)

    def prompt(findings: Sequence[str]) -> str:
        return prompts.render(PROMPT, language=stage.language, text=before.text, findings=findings)

    async def check(said: str) -> list[Finding]:
        if wrong := differences(before, said):
            return [Finding("its mathematics changed", one) for one in wrong]
        left, right = before.words, protect(restore(said, before.formulae)).words
        if _length(right) < LEAST * _length(left):
            return [Finding("not translated", "most of the text is missing")]
        if fuzz.ratio(" ".join(left.casefold().split()), " ".join(right.casefold().split())) >= 100 * SAME:
            return [Finding("not translated", f"it is not in {stage.language}")]
        return await answer_lost(answer, restore(said, before.formulae)) if answer else []

    asked = await teacher.ask(about, prompt, check, stage.retries, when_cut=None)
    if asked.answer is None:
        return asked
    whole = Answer(
        restore(asked.answer.text, before.formulae),
        asked.answer.finish_reason,
        asked.answer.prompt_tokens,
        asked.answer.completion_tokens,
    )
    return Asked(whole, None, asked.retries)


def unfit(response: Response) -> str | None:
    """Why a response is not translated; None if it is."""
    if response.verified:
        return None
    return UNGRADED if response.grading_error else "did not verify"


def _length(words: str) -> int:
    return len(_LETTERS.findall(words))
