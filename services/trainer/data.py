"""Samples as token ids with a loss mask, and the order in which steps see them. Belongs to the training process.

```
prompt      <|im_start|>user\\nWhat is 2 + 3?<|im_end|>\\n<|im_start|>assistant\\n      label -100
completion  Step 1: 2 + 3 = 5.\\nThe answer is 5.                                    label = token
end         <|im_end|>                                                              label = token
```
Prompt and completion are tokenised apart, because that is how the model meets them later: the prompt ends, then it writes.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from services.trainer.job import Sample

IGNORED = -100
"""Label of a token that is not learned (torch's `ignore_index`)."""
POOL = 16
"""Batches whose samples are sorted by length among themselves: little padding, and still batches of mixed samples."""


class DataError(Exception):
    """Model and data do not go together; no retry can help."""


@dataclass(frozen=True)
class Encoded:
    """One sample's tokens; `labels` has the same length."""

    input_ids: list[int]
    labels: list[int]


def end_tokens(tokenizer: Any, generation_eos: int | Sequence[int] | None) -> set[int]:
    """Ids that end an assistant's turn: the tokenizer's and those at which generation stops. Raises DataError if there are none."""
    extra = [generation_eos] if isinstance(generation_eos, int) else list(generation_eos or [])
    found = {token for token in [tokenizer.eos_token_id, *extra] if token is not None}
    if not found:
        raise DataError("the tokenizer has no end-of-sequence token, so the model could not learn to stop: set `eos_token`")
    return found


def encode(tokenizer: Any, sample: Sample, ends: set[int]) -> Encoded:
    """Tokens of one sample, with loss on the completion and the end-of-turn token after it.

    Raises DataError if the chat template changes the completion (R1-style ones strip what precedes `</think>`), renders the
    prompt differently once an answer follows, or writes no end-of-turn token after the answer.
    """
    user = [{"role": "user", "content": sample.prompt}]
    try:
        prompt: str = tokenizer.apply_chat_template(user, add_generation_prompt=True, tokenize=False)
        chat = [*user, {"role": "assistant", "content": sample.completion}]
        whole: str = tokenizer.apply_chat_template(chat, tokenize=False)
    except Exception as error:  # a template is a program of the model's publisher: it may raise anything
        raise DataError(f"sample {sample.id}: the chat template fails: {type(error).__name__}: {error}") from error
    if not whole.startswith(prompt):
        raise DataError(
            f"sample {sample.id}: the chat template changes the prompt before an answer: {prompt!r} is not the start of {whole!r}"
        )
    answer = whole[len(prompt) :]
    if not answer.startswith(sample.completion):
        raise DataError(f"sample {sample.id}: the chat template changes the answer: {sample.completion!r} became {answer!r}")
    prompt_ids: list[int] = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    answer_ids: list[int] = tokenizer(answer, add_special_tokens=False)["input_ids"]
    text_tokens = len(tokenizer(sample.completion, add_special_tokens=False)["input_ids"])
    end = next((place for place, token in enumerate(answer_ids) if token in ends), None)
    if end is None or end < text_tokens - 1:
        raise DataError(f"sample {sample.id}: no end-of-turn token follows the answer in {answer[-80:]!r} (known: {sorted(ends)})")
    learned = answer_ids[: end + 1]
    return Encoded(prompt_ids + learned, [IGNORED] * len(prompt_ids) + learned)


def shown(tokenizer: Any, encoded: Encoded) -> str:
    """The sample as the model sees it, its loss tokens between ⟦ and ⟧: for the log."""
    pieces = []
    for learned, group in groupby(zip(encoded.input_ids, encoded.labels, strict=True), key=lambda pair: pair[1] != IGNORED):
        text = tokenizer.decode([token for token, _ in group])
        pieces.append(f"⟦{text}⟧" if learned else text)
    return "".join(pieces)


def check_mask(tokenizer: Any, sample: Sample, encoded: Encoded, ends: set[int]) -> None:
    """Decodes one sample's loss tokens and compares: the whole answer and an end-of-turn token must be among them, the prompt not.

    White space is not compared: some tokenizers do not give it back. Raises DataError.
    """
    learned = [label for label in encoded.labels if label != IGNORED]
    if not learned or learned[-1] not in ends:
        raise DataError(f"sample {sample.id}: no loss on the end of the turn: the model would not learn to stop")
    text = tokenizer.decode(learned[:-1])
    if "".join(text.split()) != "".join(sample.completion.split()):
        raise DataError(f"sample {sample.id}: the loss is on {text!r}, not on the answer {sample.completion!r}")


def schedule(lengths: Sequence[int], batch_size: int, epochs: float, seed: int) -> list[int]:
    """Places of the samples in the order in which the whole training sees them: steps x batch_size, longest first in a batch.

    Every epoch is a new permutation; batches hold samples of like length (little padding) and come in random order. A function of
    its arguments alone, so a resumed training needs no generator's state, and any number of processes sees the same batches.
    """
    steps = max(1, round(len(lengths) * epochs / batch_size))
    generator = random.Random(seed)
    batches: list[list[int]] = []
    waiting: list[int] = []
    while len(batches) < steps:
        waiting += generator.sample(range(len(lengths)), len(lengths))
        full = len(waiting) // batch_size * batch_size  # what is left of an epoch begins the next one's first pool
        ready, waiting = waiting[:full], waiting[full:]
        for start in range(0, full, POOL * batch_size):
            pool = sorted(ready[start : start + POOL * batch_size], key=lambda place: -lengths[place])
            cut = [pool[at : at + batch_size] for at in range(0, len(pool), batch_size)]
            batches += generator.sample(cut, len(cut))
    return [place for batch in batches[:steps] for place in batch]
