"""Policy: the model that proposes steps, asked to go on from a partial solution.

Two ways to say "go on from here". A local engine gets token ids: the chat template's prompt, then the very ids that were sampled
on the path, so that nothing is rendered twice, no template can trim a newline, and the engine's prefix cache hits. An endpoint gets
a chat.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, Protocol

from services.searcher.lines import STEP_END, Sampled, cut_by_ids, cut_by_length, line_breaks
from shared import prompts
from shared.contracts.base import Message
from shared.contracts.problem import Problem
from shared.contracts.recipe import Sampling
from shared.engines.client import Completion, Endpoint, EngineError, RequestRefused

_CONTEXT_FULL = re.compile(r"context length|context window|max(imum)?[ _]model[ _]len(gth)?|maximum (input|context)", re.IGNORECASE)


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


async def policy_of(endpoint: Endpoint, problem: Problem) -> Policy:
    """The policy that `endpoint` makes for one problem: by token ids if the engine is ours, else by chat."""
    turn = Message(role="user", content=prompts.render("solve", question=problem.question))
    if not endpoint.local:
        return ChatPolicy(endpoint, turn)
    return TokenPolicy(endpoint, await endpoint.tokenize_chat([turn]))


class TokenPolicy:
    """Goes on from token ids: children of one node share their prefix byte for byte."""

    def __init__(self, endpoint: Endpoint, prompt_ids: Sequence[int]) -> None:
        self._endpoint = endpoint
        self._prompt_ids = tuple(prompt_ids)
        self.spent: Counter[str] = Counter()

    async def steps(self, path: Sequence[Step], n: int, sampling: Sampling, skipped: Sequence[int] = ()) -> list[Sampled]:
        done = await self._complete([*self._prefix(path), *skipped], n, sampling, stop=(STEP_END,))
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
        return [choice.text for choice in done.choices]

    async def chains(self, n: int, sampling: Sampling) -> list[list[Sampled]]:
        done = await self._complete(self._prompt_ids, n, sampling, stop=())
        if not all(choice.token_ids for choice in done.choices):
            raise EngineError(f"{self._endpoint.uri} returned no token ids, which a search on a local engine needs")
        breaks = await line_breaks(self._endpoint, (token for choice in done.choices for token in choice.token_ids))
        return [cut_by_ids(choice.text, choice.token_ids, breaks, choice.finish_reason == "stop") for choice in done.choices]

    def _prefix(self, path: Sequence[Step]) -> list[int]:
        return [*self._prompt_ids, *(token for step in path for token in step.token_ids)]

    async def _complete(self, prompt: Sequence[int], n: int, sampling: Sampling, stop: Sequence[str]) -> Completion:
        try:
            done = await self._endpoint.complete(prompt, n=n, sampling=sampling, stop=stop, include_stop=True)
        except RequestRefused as refused:
            raise _told_apart(refused) from refused
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
        return [choice.text for choice in done.choices]

    async def chains(self, n: int, sampling: Sampling) -> list[list[Sampled]]:
        done = await self._chat((), n, sampling, whole=True, stop=())
        written = sum(len(choice.text) for choice in done.choices) or 1
        return [cut_by_length(one.text, done.completion_tokens / written, one.finish_reason == "stop") for one in done.choices]

    async def _chat(self, path: Sequence[Step], n: int, sampling: Sampling, whole: bool, stop: Sequence[str]) -> Completion:
        turns = [self._turn]
        if path:
            turns.append(Message(role="assistant", content="\n".join(step.text for step in path)))
            turns.append(Message(role="user", content=prompts.render("continue", whole=whole)))
        try:
            done = await self._endpoint.chat(turns, n=n, sampling=sampling, stop=stop)
        except RequestRefused as refused:
            raise _told_apart(refused) from refused
        return _metered(done, self.spent)


def _metered(done: Completion, spent: Counter[str]) -> Completion:
    spent["prompt_tokens"] += done.prompt_tokens
    spent["completion_tokens"] += done.completion_tokens
    spent["requests"] += 1
    return done


def _told_apart(refused: RequestRefused) -> Exception:
    """ContextFull if that is what the server's words mean; else the refusal itself."""
    return ContextFull(str(refused)) if _CONTEXT_FULL.search(str(refused)) else refused
