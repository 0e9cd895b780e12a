"""A fake model, at the network's edge."""

import asyncio
from collections.abc import Callable, Sequence

from shared.contracts.base import Message
from shared.contracts.models import Sampling
from shared.contracts.work import ModelRef
from shared.engines.bank import Bank
from shared.engines.client import Choice, Completion

Answer = Callable[[str, int], Choice | Exception]
"""What the fake model says: (the question, number of the draw) -> a choice, or the error the endpoint raises."""


class FakeEndpoint:
    """One model that answers from a function; remembers what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.model, self.uri, self.engine, self.local = "fake", "fake://model", "fake 1.0", True
        self.asked: list[str] = []
        self._answer = answer

    def metered(self, role: str, bank: Bank) -> "FakeEndpoint":
        return self

    async def chat(self, messages: Sequence[Message], *, n: int = 1, sampling: Sampling, stop: Sequence[str] = ()) -> Completion:
        question = messages[0].content.splitlines()[0]
        self.asked.append(question)
        await asyncio.sleep(0)
        choices = [self._answer(question, draw) for draw in range(n)]
        for choice in choices:
            if isinstance(choice, Exception):
                raise choice
        said = tuple(choice for choice in choices if isinstance(choice, Choice))
        return Completion(said, 10, sum(len(choice.token_ids) for choice in said))


class Serving:
    def __init__(self, endpoint: FakeEndpoint) -> None:
        self._endpoint = endpoint

    async def endpoint(self, ref: ModelRef) -> FakeEndpoint:
        return self._endpoint


def said(text: str, tokens: int = 5, finish_reason: str = "stop") -> Choice:
    return Choice(text, tuple(range(tokens)), finish_reason)
