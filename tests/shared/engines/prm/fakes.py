"""A process reward model at the network's edge: a token a character, marks apart, and logits that say where they were read."""

import math
import re
from collections.abc import Callable, Sequence

from shared.contracts.base import Message
from shared.engines.client import Pooled

MARKS = ["ки", "<extra_0>", "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|header|>", "<s>"]
_PARTS = re.compile("|".join(map(re.escape, MARKS)) + "|.", re.DOTALL)
HIDES = 1000
"""Ids below are marks; from here on, characters."""


def ids_of(text: str) -> list[int]:
    return [MARKS.index(part) if part in MARKS else HIDES + ord(part) for part in _PARTS.findall(text)]


def text_of(ids: Sequence[int]) -> str:
    return "".join(MARKS[one] if one < HIDES else chr(one - HIDES) for one in ids)


def score_at(ids: Sequence[int], place: int) -> float:
    """The score that the fake gives at a place: another one at each."""
    return (place + 1) / (len(ids) + 2)


class FakePrm:
    """Speaks `Endpoint`'s interface, as far as scoring goes."""

    def __init__(self, prm: str, window: int | None = None, only_marks: bool = False) -> None:
        self.uri, self.engine, self.prm, self.local = "fake://prm", "fake 1.0", prm, True
        self.window: int | None = None
        self.requests: list[list[str]] = []
        self.tokenized: list[object] = []
        self.change: Callable[[list[list[list[float]]]], object] = lambda outputs: None
        self._window = window
        self._only_marks = only_marks

    async def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        self.window = self._window
        self.tokenized.append(text)
        return ids_of("<s>" + text if special else text)

    async def tokenize_chat(self, messages: Sequence[Message]) -> list[int]:
        self.window = self._window
        self.tokenized.append(tuple(message.content for message in messages))
        turns = "".join(f"<|header|>{one.role}\n{one.content.strip()}<|eot_id|>" for one in messages)
        return ids_of(f"{turns}<|header|>assistant\n")

    async def score(self, inputs: Sequence[Sequence[int]]) -> Pooled:
        self.requests.append([text_of(ids) for ids in inputs])
        outputs = [
            [self._logits(ids, place) for place in range(len(ids)) if not self._only_marks or ids[place] == ids[-1]]
            for ids in inputs
        ]
        self.change(outputs)
        return Pooled(tuple(outputs), sum(map(len, inputs)))

    def _logits(self, ids: Sequence[int], place: int) -> list[float]:
        score = score_at(ids, place)
        value = math.log(score / (1 - score))
        second = [0.5, value + 0.5]
        return {"skywork": [value], "qwen2.5-math-prm": second, "longthought": second}.get(self.prm, [value - 0.5, -0.5])
