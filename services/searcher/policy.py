"""Policy: the model that proposes steps, asked to go on from a partial solution.

Three ways to say "go on from here". A local vLLM gets token ids: the chat template's prompt, then the very ids that were sampled
on the path, so that nothing is rendered twice, no template can trim a newline, and the engine's prefix cache hits. A local
engine that takes only text gets the same as text. An endpoint gets a chat.

In a dialogue (`say`) what the model sees is more than its path, and the same for all: a chat. A local engine gets it rendered, as
ids or as text.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from services.searcher.lines import Sampled, cut_by_ids, cut_by_length
from shared import prompts
from shared.contracts.base import Message
from shared.contracts.models import Sampling
from shared.contracts.problem import Problem
from shared.engines.client import Choice, Completion, Endpoint, EngineError, Form, RequestRefused
from shared.engines.prm.steps import STEP_END

_CONTEXT_FULL = re.compile(
    r"context (length|window|size|limit)|max(imum)?[ _]model[ _]len(gth)?|maximum (input|context)|prompt is too long"
    r"|max_tokens must be at least 1, got 0",  # vLLM 0.32 of a prompt that fills its context to the last token
    re.IGNORECASE,
)


class ContextFull(Exception):
    """The partial solution and what was asked for do not fit into the model's context."""


class Step(Protocol):
    """A step of a path: a node of the tree, or a candidate for one."""

    @property
    def text(self) -> str: ...

    @property
    def token_ids(self) -> tuple[int, ...]: ...


class Policy(Protocol):
    """A model that goes on with a partial solution of one problem."""

    spent: Counter[str]
    """`prompt_tokens`, `completion_tokens` and `requests` so far: what was paid for."""

    async def steps(self, path: Sequence[Step], n: int, sampling: Sampling, skipped: Sequence[int] = ()) -> list[Sampled]:
        """`n` next steps in one request. `skipped`: ids of a blank line to go on after. Raises ContextFull, EngineError."""

    async def rollouts(self, path: Sequence[Step], n: int, sampling: Sampling) -> list[str]:
        """`n` independent completions of the solution, to its end or to `sampling.max_tokens`. Raises ContextFull, EngineError."""

    async def chains(self, n: int, sampling: Sampling) -> list[list[Sampled]]:
        """`n` independent whole solutions in one request, each cut into its steps (`services.searcher.lines`).

        `sampling.max_tokens` is a solution's. Raises ContextFull, EngineError.
        """

    async def say(self, turns: Sequence[Message], sampling: Sampling, form: Form | None = None) -> Sampled:
        """The answer to a chat: one line, or what `form` asks for. Its end is `line`, or `cut`. Raises ContextFull, EngineError."""


async def policy_of(endpoint: Endpoint, problem: Problem) -> Policy:
    """The policy that `endpoint` makes for one problem: by token ids or text if the engine is ours, else by chat."""
    turn = Message(role="user", content=prompts.render("solve", question=problem.question))
    if not endpoint.local:
        return ChatPolicy(endpoint, turn)
    if not endpoint.takes_ids:
        return TextPolicy(endpoint, await endpoint.render_chat([turn]))
    return TokenPolicy(endpoint, await endpoint.tokenize_chat([turn]), await endpoint.line_breaks())


class TokenPolicy:
    """Goes on from token ids: children of one node share their prefix byte for byte."""

    def __init__(self, endpoint: Endpoint, prompt_ids: Sequence[int], breaks: Mapping[int, str]) -> None:
        """`breaks`: the tokens that hold a newline, with their texts."""
        self._endpoint = endpoint
        self._prompt_ids = tuple(prompt_ids)
        self._breaks = breaks
        self.spent: Counter[str] = Counter()

    async def steps(self, path: Sequence[Step], n: int, sampling: Sampling, skipped: Sequence[int] = ()) -> list[Sampled]:
        # models write blank lines between steps: a step's first token is no newline. (Nor can the text end there, unless after a
        # blank line: a node that goes on has not stated its answer.)
        done = await self._complete([*self._prefix(path), *skipped], n, sampling, (STEP_END,), min_tokens=0 if skipped else 1)
        _raise_if_no_room(done, sampling)
        sampled = []
        for choice in done.choices:
            if not choice.token_ids:
                raise EngineError(f"{self._endpoint.uri} returned no token ids, which a search on a local engine needs")
            # vLLM says "stop" for a stop string and for the end of sequence alike; the newline, kept in the text, tells them apart
            end: Literal["line", "text"] = "line" if choice.text.endswith(STEP_END) else "text"
            whole = choice.finish_reason == "stop"
            sampled.append(Sampled(choice.text, choice.token_ids, len(choice.token_ids), end if whole else "cut"))
        return sampled

    async def rollouts(self, path: Sequence[Step], n: int, sampling: Sampling) -> list[str]:
        done = await self._complete(self._prefix(path), n, sampling, stop=())
        _raise_if_no_room(done, sampling)
        return [_stated(choice) for choice in done.choices]

    async def chains(self, n: int, sampling: Sampling) -> list[list[Sampled]]:
        done = await self._complete(self._prompt_ids, n, sampling, stop=())
        if not all(choice.token_ids for choice in done.choices):
            raise EngineError(f"{self._endpoint.uri} returned no token ids, which a search on a local engine needs")
        return [cut_by_ids(choice.text, choice.token_ids, self._breaks, choice.finish_reason == "stop") for choice in done.choices]

    async def say(self, turns: Sequence[Message], sampling: Sampling, form: Form | None = None) -> Sampled:
        try:
            prompt = await self._endpoint.tokenize_chat(turns)
        except RequestRefused as refused:
            raise told_apart(refused) from refused
        done = await self._complete(prompt, 1, sampling, stop=() if form else (STEP_END,), form=form)
        _raise_if_no_room(done, sampling)
        [choice] = done.choices
        ids = choice.token_ids
        if not ids:
            raise EngineError(f"{self._endpoint.uri} returned no token ids, which a search on a local engine needs")
        if choice.finish_reason == "stop" and not form and not choice.text.endswith(STEP_END):
            # it ended its turn instead of the line: in a path, the next step follows a newline, not the end of a turn
            ids = (*ids[:-1], *await self._endpoint.tokenize(STEP_END))
        return Sampled(choice.text, ids, len(choice.token_ids), "line" if choice.finish_reason == "stop" else "cut")

    def _prefix(self, path: Sequence[Step]) -> list[int]:
        return [*self._prompt_ids, *(token for step in path for token in step.token_ids)]

    async def _complete(
        self,
        prompt: Sequence[int],
        n: int,
        sampling: Sampling,
        stop: Sequence[str],
        form: Form | None = None,
        min_tokens: int = 0,
    ) -> Completion:
        try:
            done = await self._endpoint.complete(
                prompt,
                n=n,
                sampling=sampling,
                stop=stop,
                include_stop=True,
                stop_ids=sorted(self._breaks) if stop else (),
                min_tokens=min_tokens,
                form=form,
            )
        except RequestRefused as refused:
            raise told_apart(refused) from refused
        return _metered(done, self.spent)


class ChatPolicy:
    """Goes on from a chat: the steps so far as the assistant's turn, then a user turn that asks for what comes next.

    The extra turn, because most endpoints close a partial assistant turn instead of going on with it.
    """

    def __init__(self, endpoint: Endpoint, turn: Message) -> None:
        self._endpoint = endpoint
        self._turn = turn
        self.spent: Counter[str] = Counter()

    async def steps(self, path: Sequence[Step], n: int, sampling: Sampling, skipped: Sequence[int] = ()) -> list[Sampled]:
        done = await self._chat(path, n, sampling, whole=False, stop=(STEP_END,))
        written = sum(len(choice.text) for choice in done.choices) or 1
        return [
            Sampled(
                choice.text,
                (),
                round(done.completion_tokens * len(choice.text) / written),  # usage comes per request: shared out by length
                "line" if choice.finish_reason == "stop" else "cut",  # a chat's "stop" does not tell a newline from the end
            )
            for choice in done.choices
        ]

    async def rollouts(self, path: Sequence[Step], n: int, sampling: Sampling) -> list[str]:
        done = await self._chat(path, n, sampling, whole=True, stop=())
        return [_stated(choice) for choice in done.choices]

    async def chains(self, n: int, sampling: Sampling) -> list[list[Sampled]]:
        done = await self._chat((), n, sampling, whole=True, stop=())
        written = sum(len(choice.text) for choice in done.choices) or 1
        return [cut_by_length(one.text, done.completion_tokens / written, one.finish_reason == "stop") for one in done.choices]

    async def say(self, turns: Sequence[Message], sampling: Sampling, form: Form | None = None) -> Sampled:
        done = await self._ask(turns, 1, sampling, () if form else (STEP_END,), form)
        [choice] = done.choices
        return Sampled(choice.text, (), done.completion_tokens, "line" if choice.finish_reason == "stop" else "cut")

    async def _chat(self, path: Sequence[Step], n: int, sampling: Sampling, whole: bool, stop: Sequence[str]) -> Completion:
        turns = [self._turn]
        if path:
            turns.append(Message(role="assistant", content="\n".join(step.text for step in path)))
            turns.append(Message(role="user", content=prompts.render("continue", whole=whole)))
        return await self._ask(turns, n, sampling, stop)

    async def _ask(
        self, turns: Sequence[Message], n: int, sampling: Sampling, stop: Sequence[str], form: Form | None = None
    ) -> Completion:
        try:
            done = await self._endpoint.chat(turns, n=n, sampling=sampling, stop=stop, form=form)
        except RequestRefused as refused:
            raise told_apart(refused) from refused
        return _metered(done, self.spent)


def _raise_if_no_room(done: Completion, sampling: Sampling) -> None:
    """Raises ContextFull if every choice was cut before its limit: vLLM shortens what is asked for to the rest of the context."""
    if all(choice.finish_reason == "length" and len(choice.token_ids) < sampling.max_tokens for choice in done.choices):
        raise ContextFull(f"less than {sampling.max_tokens} tokens are left of the context, and no answer ended within them")


def _stated(choice: Choice) -> str:
    """What a completion states: without the line that a limit cut, in which half a number could pass for an answer."""
    return choice.text if choice.finish_reason == "stop" else choice.text.rpartition(STEP_END)[0]


class TextPolicy:
    """Goes on from text, on a local engine that takes only that: the rendered chat, then the steps' own words.

    The prompt is rendered once, by the tokenizer that will read it, and each step is appended with its newline: no template ever
    sees the steps, so none can trim them, and children of one node share their prefix byte for byte. Which ids were sampled such an
    engine does not tell, so nodes carry none, and a step's tokens are its share, by length, of those that its request sampled.
    """

    def __init__(self, endpoint: Endpoint, prompt: str) -> None:
        self._endpoint = endpoint
        self._prompt = prompt
        self.spent: Counter[str] = Counter()

    async def steps(self, path: Sequence[Step], n: int, sampling: Sampling, skipped: Sequence[int] = ()) -> list[Sampled]:
        prompt = self._prefix(path)
        sampled = self._lines(await self._complete(prompt, n, sampling, (STEP_END,)))
        written = [one for one in sampled if one.text.strip() or one.end != "line"]
        blank = len(sampled) - len(written)
        if blank:  # models write blank lines between steps: what comes after one is the step
            written += self._lines(await self._complete(prompt + STEP_END, blank, sampling, (STEP_END,)))
        return written

    async def rollouts(self, path: Sequence[Step], n: int, sampling: Sampling) -> list[str]:
        done = await self._complete(self._prefix(path), n, sampling, ())
        return [choice.text for choice in done.choices]

    async def chains(self, n: int, sampling: Sampling) -> list[list[Sampled]]:
        done = await self._complete(self._prompt, n, sampling, ())
        rate = _tokens_per_character(done)
        return [cut_by_length(choice.text, rate, choice.finish_reason == "stop") for choice in done.choices]

    async def say(self, turns: Sequence[Message], sampling: Sampling, form: Form | None = None) -> Sampled:
        prompt = await self._endpoint.render_chat(turns)
        done = await self._complete(prompt, 1, sampling, () if form else (STEP_END,), form)
        [choice] = done.choices
        return Sampled(choice.text, (), done.completion_tokens, "line" if choice.finish_reason == "stop" else "cut")

    def _prefix(self, path: Sequence[Step]) -> str:
        return self._prompt + "".join(step.text + STEP_END for step in path if step.text)

    def _lines(self, done: Completion) -> list[Sampled]:
        rate = _tokens_per_character(done)
        return [Sampled(choice.text, (), round(len(choice.text) * rate), _end(choice)) for choice in done.choices]

    async def _complete(self, prompt: str, n: int, sampling: Sampling, stop: Sequence[str], form: Form | None = None) -> Completion:
        try:
            done = await self._endpoint.complete(prompt, n=n, sampling=sampling, stop=stop, include_stop=bool(stop), form=form)
        except RequestRefused as refused:
            raise told_apart(refused) from refused
        return _metered(done, self.spent)


def _tokens_per_character(done: Completion) -> float:
    return done.completion_tokens / (sum(len(choice.text) for choice in done.choices) or 1)


def _end(choice: Choice) -> Literal["line", "text", "cut"]:
    if choice.text.endswith(STEP_END):  # kept in the text; whatever the limit, the line is whole
        return "line"
    return "text" if choice.finish_reason == "stop" else "cut"


def _metered(done: Completion, spent: Counter[str]) -> Completion:
    spent["prompt_tokens"] += done.prompt_tokens
    spent["completion_tokens"] += done.completion_tokens
    spent["requests"] += 1
    return done


def told_apart(refused: RequestRefused) -> Exception:
    """ContextFull if that is what the server's words mean; else the refusal itself."""
    return ContextFull(str(refused)) if _CONTEXT_FULL.search(str(refused)) else refused
