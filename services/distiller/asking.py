"""Asking a teacher for a rewrite until it passes its checks, told each time what was wrong with the one before."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from shared.answers.extract import final_answer
from shared.answers.verify import GradingError, verify
from shared.contracts.base import Message
from shared.contracts.models import Sampling
from shared.engines.client import Endpoint, RequestRefused

Save = Callable[[int, dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class Finding:
    """What is wrong with a rewrite."""

    reason: str
    """As it is counted: one of a few."""
    told: str
    """As the teacher is told it."""


CUT = "cut at max_tokens"
REFUSED = "the request was refused"
UNGRADED = "its answer cannot be compared"
"""Neither right nor wrong: counted apart from `another answer`."""


@dataclass(frozen=True)
class Answer:
    """What a teacher said to one prompt, as it is saved."""

    text: str
    finish_reason: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class Asked:
    """What came of asking: the answer that passed, or why the last one did not."""

    answer: Answer | None
    failed: str | None
    retries: int


Check = Callable[[str], Awaitable[Sequence[Finding]]]
_ANSWER = TypeAdapter(Answer)


class Teacher:
    """A teacher within one work item. Each answer is saved as it comes: a later attempt at the item buys none twice."""

    def __init__(self, endpoint: Endpoint, sampling: Sampling, saved: Sequence[Mapping[str, Any]], save: Save) -> None:
        """`saved` and `save` are the item's: what its earlier attempts bought, and where to add to it."""
        self.uri = endpoint.uri
        self._endpoint = endpoint
        self._sampling = sampling
        self._bought = {(body["about"], body["attempt"]): _ANSWER.validate_python(body["answer"]) for body in saved}
        self._next = len(saved)
        self._save = save

    async def ask(
        self, about: str, prompt: Callable[[Sequence[str]], str], check: Check, retries: int, when_cut: str | None
    ) -> Asked:
        """The first of at most `retries` + 1 answers with which `check` finds nothing wrong.

        `about` names what is asked for within the item; `prompt` makes the words to ask with of what was wrong with the answer
        before. `when_cut`: what a teacher is told whose answer was cut; None: then it is not asked again, as it would be cut again.
        Raises EngineError. A request refused as such (400: too long, say) counts as a failure; a refused key is an error.
        """
        findings: Sequence[Finding] = ()
        for attempt in range(retries + 1):
            try:
                answer = await self._answer(about, attempt, prompt([finding.told for finding in findings]))
            except RequestRefused as error:
                if error.status != 400:
                    raise
                return Asked(None, REFUSED, attempt)
            if answer.finish_reason != "stop":
                if when_cut is None:
                    return Asked(None, CUT, attempt)
                findings = [Finding(CUT, when_cut)]
                continue
            findings = await check(answer.text)
            if not findings:
                return Asked(answer, None, attempt)
        return Asked(None, findings[0].reason, retries)

    async def _answer(self, about: str, attempt: int, prompt: str) -> Answer:
        if (known := self._bought.get((about, attempt))) is not None:
            return known
        completion = await self._endpoint.chat([Message(role="user", content=prompt)], sampling=self._sampling)
        choice = completion.choices[0]
        answer = Answer(choice.text.strip(), choice.finish_reason, completion.prompt_tokens, completion.completion_tokens)
        place, self._next = self._next, self._next + 1
        await self._save(place, {"about": about, "attempt": attempt, "answer": _ANSWER.dump_python(answer, mode="json")})
        return answer


async def answer_lost(answer: str, text: str) -> list[Finding]:
    """What is wrong with the final answer of a text whose answer is known to be `answer`."""
    stated = final_answer(text)
    if stated is None:
        return [Finding("no final answer", f"it states no final answer: the known one is {answer}")]
    try:
        if await verify(answer, stated):
            return []
    except GradingError:
        return [Finding(UNGRADED, f"its final answer, {stated[:200]}, cannot be compared with the known one: write {answer}")]
    return [Finding("another answer", f"its final answer is {stated[:200]}, but the known one is {answer}")]
