"""Budget forcing: a response that gets too long is made to answer, one that would end is made to think again.

After s1 (arXiv 2501.19393, section 3). There, too long a thought is closed and the answer asked for, and a thought that would end
goes on behind "Wait" in place of its end. Here likewise; where a model marks no thoughts, its last line, the one that states the
answer, gives way to "Wait". Such words are read by the model, as part of a prompt: only what it wrote counts as its tokens.

The assistant's turn goes on in parts, so the server renders the chat, and it is continued as token ids, or, on an engine that takes
only that, as text. An endpoint closes a partial turn instead of going on with it, so the recipe refuses these options for one.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from shared.contracts.base import Message
from shared.contracts.stages import EvaluateStage
from shared.engines.client import Choice, Completion, Endpoint
from shared.engines.completions import split_reasoning

CLOSING = "\nThe answer is"
WAIT = "Wait"
LINE_END = "\n"
THOUGHT, THOUGHT_ENDS = "<think>", "</think>"


@dataclass(frozen=True)
class Drawn:
    """One response."""

    choice: Choice
    """Its text, words put into the model's mouth included."""
    tokens: int
    """What the model wrote, lines taken off included; prompts that were read again are not counted."""
    prompt_tokens: int
    """Of the question alone."""
    forced: int = 0
    """How often it was made to go on, or to answer."""
    estimated: bool = False
    """Whether `tokens` is this one's share, by length of text, of what several came to together."""


@dataclass(frozen=True)
class Written:
    """The assistant's turn so far, and its token ids where the engine takes such."""

    text: str = ""
    ids: tuple[int, ...] = ()


async def forced_draws(endpoint: Endpoint, question: Message, stage: EvaluateStage) -> list[Drawn]:
    """`stage.samples` responses under the stage's `budget` and `waits`, each drawn for itself. Raises EngineError."""
    prompt: str | list[int]
    if endpoint.takes_ids:
        prompt = await endpoint.tokenize_chat([question])
        shown, breaks = await endpoint.detokenize(prompt), sorted(await endpoint.line_breaks())
    else:
        shown = prompt = await endpoint.render_chat([question])
        breaks = []
    forcing = Forcing(endpoint, stage, prompt, breaks, in_thought=shown.rstrip().endswith(THOUGHT))
    return list(await asyncio.gather(*(forcing.draw() for _ in range(stage.samples))))


class Forcing:
    """Draws responses to one question."""

    def __init__(
        self, endpoint: Endpoint, stage: EvaluateStage, prompt: str | Sequence[int], breaks: Sequence[int], in_thought: bool
    ) -> None:
        """`breaks`: the tokens that hold a newline. `in_thought`: the prompt ends within a thought that the template opened."""
        self._endpoint = endpoint
        self._stage = stage
        self._prompt = prompt
        self._breaks = breaks
        self._in_thought = in_thought

    async def draw(self) -> Drawn:
        """One response: on behind "Wait" as often as asked and as room is left, then, if it is cut at the budget, to an answer."""
        limit = self._stage.budget or self._stage.sampling.max_tokens
        written, spent, forced, read = Written(), 0, 0, None
        while True:
            room = limit - spent
            done = await self._go_on(written, room)
            [choice] = done.choices
            read = done.prompt_tokens if read is None else read
            tokens = _tokens(done)
            spent += tokens
            written = Written(written.text + choice.text, (*written.ids, *choice.token_ids))
            if choice.finish_reason != "stop" or forced == self._stage.waits or spent >= limit:
                break
            again = await self._reopened(written.text)
            if not self._has_room(again):
                break
            written, forced = again, forced + 1
        reason = choice.finish_reason
        if self._stage.budget and reason == "length" and tokens == room:  # fewer: not the budget has cut it, but the context
            closing = await self._plus(written, f"{LINE_END}{THOUGHT_ENDS}\n{CLOSING}" if self._thinks(written.text) else CLOSING)
            if self._has_room(closing):
                done = await self._go_on(closing, self._stage.answer_tokens, one_line=True)
                [choice] = done.choices
                spent, forced, reason = spent + _tokens(done), forced + 1, choice.finish_reason
                written = Written(closing.text + choice.text.rstrip(LINE_END))
        reasoning, text = split_reasoning(written.text)
        return Drawn(Choice(text, (), reason, reasoning), spent, read, forced)

    async def _go_on(self, written: Written, room: int, one_line: bool = False) -> Completion:
        sampling = self._stage.sampling.model_copy(update={"max_tokens": room})
        if isinstance(self._prompt, str):
            stop = (LINE_END,) if one_line else ()
            return await self._endpoint.complete(self._prompt + written.text, sampling=sampling, stop=stop, include_stop=one_line)
        prompt = [*self._prompt, *written.ids]
        if not one_line:
            return await self._endpoint.complete(prompt, sampling=sampling)
        return await self._endpoint.complete(  # an answer that begins with a newline would be over at once
            prompt, sampling=sampling, stop=(LINE_END,), include_stop=True, stop_ids=self._breaks, min_tokens=1
        )

    async def _reopened(self, text: str) -> Written:
        """A response that ended, its thought's end (or its last line) taken off, and "Wait" in its place."""
        thought = THOUGHT_ENDS in text
        kept = (text.partition(THOUGHT_ENDS)[0] if thought else text.rstrip().rpartition(LINE_END)[0]).rstrip()
        return await self._plus(Written(), f"{kept}{LINE_END}{WAIT}" if kept else WAIT)

    async def _plus(self, written: Written, words: str) -> Written:
        ids = () if isinstance(self._prompt, str) else tuple(await self._endpoint.tokenize(words))
        return Written(written.text + words, (*written.ids, *ids))

    def _thinks(self, text: str) -> bool:
        """Whether a response is cut within a thought that the model, or its template, marked as one."""
        return THOUGHT_ENDS not in text and (self._in_thought or text.lstrip().startswith(THOUGHT))

    def _has_room(self, written: Written) -> bool:
        """Whether a token more fits into the model's context, where that is known."""
        window = self._endpoint.window
        return isinstance(self._prompt, str) or window is None or len(self._prompt) + len(written.ids) < window


def made_to_answer(text: str, forced: int, tokens: int, budget: int | None) -> str:
    """The end of a response, from the words on by which it was made to answer; '' if it was not made to.

    Only behind these words may a response have more tokens than the budget, so a stored one tells, too; `forced` counts waits as
    well.
    """
    if not forced or budget is None or tokens <= budget:
        return ""
    _, asked, said = f"{LINE_END}{text}".rpartition(CLOSING)  # a marked thought stands apart: the text begins with these words then
    return f"{asked}{said}".strip()


def _tokens(done: Completion) -> int:
    """What one choice wrote: its ids counted, or the server's figure."""
    [choice] = done.choices
    return len(choice.token_ids) or done.completion_tokens
