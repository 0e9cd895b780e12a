"""What stands between a method and the training: its data as rows of token ids, and what every trainer is made with."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from services.trainer.data import DataError
from services.trainer.metrics import Reporter


@dataclass(frozen=True)
class Prepared:
    """The samples that fit, in the order in which they came."""

    rows: list[dict[str, Any]]
    lengths: list[int]
    """Tokens of each row."""
    too_long: int
    shown: str
    """The first sample as it is trained on, its loss tokens between ⟦ and ⟧."""
    unfit: int = 0
    """Samples that were left out because an answer, or its counterpart's, holds the end of a turn itself."""


@dataclass(frozen=True)
class Common:
    """What every trainer is made with."""

    arguments: dict[str, Any]
    """Of transformers' TrainingArguments."""
    tokenizer: PreTrainedTokenizerBase
    reporter: Reporter


def fitting(rows: Iterable[tuple[dict[str, Any], int, int]], max_length: int, shown: str, unfit: int = 0) -> Prepared:
    """From (row, its tokens, the tokens of its longest sequence or its counterpart's). Raises DataError if none fits."""
    rows = list(rows)
    kept = [(row, tokens) for row, tokens, longest in rows if longest <= max_length]
    if not kept:
        shortest = min(longest for _, _, longest in rows)
        raise DataError(
            f"max_length {max_length} is too short for all {len(rows)} samples: the shortest has {shortest} tokens, "
            "or its counterpart has; raise max_length, or train on shorter ones"
        )
    return Prepared([row for row, _ in kept], [tokens for _, tokens in kept], len(rows) - len(kept), shown, unfit)
