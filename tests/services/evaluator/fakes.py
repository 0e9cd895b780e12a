"""Fake models, at the network's edge."""

import asyncio
import math
from collections.abc import Callable, Sequence

from shared.contracts.base import Message
from shared.contracts.models import Sampling
from shared.contracts.work import ModelRef
from shared.engines.bank import Bank
from shared.engines.client import Choice, Completion, Pooled
from tests.shared.engines.prm.fakes import FakePrm, text_of

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


class FakeReward(FakePrm):
    """A process reward model that scores each line by its words; `away` is raised instead, as long as it is set."""

    def __init__(self, score: Callable[[str], float], window: int | None = None) -> None:
        super().__init__("skywork", window)
        self.away: Callable[[str], Exception | None] = lambda text: None
        self._score = score

    def metered(self, role: str, bank: Bank) -> "FakeReward":
        assert role == "reward"
        return self

    async def score(self, inputs: Sequence[Sequence[int]]) -> Pooled:
        texts = [text_of(ids) for ids in inputs]
        self.requests.append(texts)
        await asyncio.sleep(0)
        for text in texts:
            if error := self.away(text):
                raise error
        outputs = tuple(
            [[self._logit(text[:place].rpartition("\n")[2])] for place in range(len(ids))] for ids, text in self._by(inputs)
        )
        return Pooled(outputs, sum(map(len, inputs)))

    def _by(self, inputs: Sequence[Sequence[int]]) -> list[tuple[Sequence[int], str]]:
        """Each input with its text, the mark at its beginning as one character, so that places are the same in both."""
        return [(ids, "^" + text_of(ids[1:])) for ids in inputs]

    def _logit(self, line: str) -> float:
        score = self._score(line)
        if math.isnan(score):
            return score
        return math.log(score / (1 - score)) if 0 < score < 1 else math.inf if score else -math.inf
