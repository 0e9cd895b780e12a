"""What the formats share: marked paths, token ids from the server, and the step from logits to a probability."""

import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.contracts.base import Message
from shared.engines.client import Endpoint
from shared.engines.errors import EngineError


@dataclass(frozen=True)
class Marked:
    """A path as the model reads it."""

    ids: tuple[int, ...]
    """Token ids of question, steps and marks, up to the last step's mark."""
    positions: tuple[int, ...]
    """For each step, in order, the place in `ids` where its score stands."""


class Tokens:
    """Token ids from a server's own tokenizer; every text is asked for once, for the life of this object."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._known: dict[tuple[object, ...], list[int]] = {}

    async def text(self, text: str, special: bool = False) -> list[int]:
        """The ids of a text; with `special`, between the special tokens that the tokenizer puts around a text (BOS)."""
        key = (text, special)
        if key not in self._known:
            self._known[key] = await self._endpoint.tokenize(text, special=special)
        return self._known[key]

    async def chat(self, turns: Sequence[tuple[str, str]]) -> list[int]:
        """The ids of turns (role, content) in the model's chat template, up to where the assistant's next turn begins."""
        key = tuple(turns)
        if key not in self._known:
            messages = [Message.model_validate({"role": role, "content": content}) for role, content in turns]
            self._known[key] = await self._endpoint.tokenize_chat(messages)
        return self._known[key]

    async def one(self, mark: str) -> int:
        """The id of a mark. Raises EngineError unless the tokenizer has it as one token."""
        ids = await self.text(mark)
        if len(ids) != 1:
            raise EngineError(
                f"{self._endpoint.uri}: its tokenizer makes {len(ids)} tokens of the mark {mark!r}, which has to be one; "
                f"is `prm: {self._endpoint.prm}` the format of this model?"
            )
        return ids[0]


Mark = Callable[[Tokens, str, Sequence[str]], Coroutine[Any, Any, Marked]]


@dataclass(frozen=True)
class Format:
    """One format of process reward models."""

    name: str
    mark: Mark
    """From a question and the steps of a path (none blank, all stripped) to what the model reads."""
    labels: int
    """Logits that the served model gives for a token."""
    read: Callable[[Sequence[float]], float]
    """From the logits at a step's position to its score in [0, 1]."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """vLLM's `--hf-overrides`: what makes a model that scores of the checkpoint."""


def sigmoid(value: float) -> float:
    """1 / (1 + exp(-value)), without overflow. A softmax over two logits is that of their difference."""
    if value >= 0:
        return 1 / (1 + math.exp(-value))
    small = math.exp(value)
    return small / (1 + small)


def grown(ids: Sequence[int], longer: Sequence[int], of: str) -> None:
    """Raises EngineError unless `longer` goes on from `ids`: only then is an earlier step's mark where it was."""
    if list(longer[: len(ids)]) != list(ids) or len(longer) <= len(ids):
        raise EngineError(f"{of}: the tokens of a path changed when a step was added to it, so its steps cannot be told apart")
