"""Samples as token ids with a loss mask, and the order in which steps see them. Belongs to the training process.

```
prompt      <|im_start|>user\\nWhat is 2 + 3?<|im_end|>\\n<|im_start|>assistant\\n      label -100
completion  Step 1: 2 + 3 = 5.\\nThe answer is 5.                                    label = token
end         <|im_end|>                                                              label = token
```
Prompt and completion are tokenised apart, because that is how the model meets them later: the prompt ends, then it writes.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any, TypeVar

from services.trainer.job import Job, R, Sample, read_rows

T = TypeVar("T")
IGNORED = -100
"""Label of a token that is not learned (torch's `ignore_index`)."""
POOL = 16
"""Batches whose samples are sorted by length among themselves: little padding, and still batches of mixed samples."""


class DataError(Exception):
    """Model and data do not go together; no retry can help."""


class EndWithin(DataError):
    """An answer holds the end of a turn itself: the model would learn to stop there. Such a sample is left out, and counted."""


@dataclass(frozen=True)
class Encoded:
    """One sample's tokens; `labels` has the same length."""

    input_ids: list[int]
    labels: list[int]


def read(job: Job, kind: type[R]) -> list[R]:
    """The job's data. Raises DataError if there is none."""
    found = read_rows(Path(job.data), kind)
    if not found:
        raise DataError("there is nothing to train on: the data holds no sample")
    return found


def check_length(config: Any, max_length: int) -> None:
    """Raises DataError if samples could be longer than the model (its transformers configuration) has positions for."""
    context = context_of(config)
    if context is not None and max_length > context:
        raise DataError(
            f"max_length {max_length} is more than the model's context of {context} tokens (its max_position_embeddings): set "
            f"max_length to {context} or less, or take a model of a longer context"
        )


def context_of(config: Any) -> int | None:
    """Positions that a model has, those that its scaled rotary embedding adds included; None where its configuration is silent."""
    config = config.get_text_config()
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int):
        return None
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope, *(one for one in rope.values() if isinstance(one, dict))]  # some models have one a kind of layer
    # publishers write the unscaled length as `original_...`, or leave it in the place of the scaled one
    scaled = [(one.get("original_max_position_embeddings") or positions) * (one.get("factor") or 1) for one in kinds]
    return int(max(positions, *scaled))


def stops(base: Path) -> Any:
    """Ids at which a model's generation stops, if its folder says."""
    from transformers import GenerationConfig

    return GenerationConfig.from_pretrained(base).eos_token_id if (base / "generation_config.json").exists() else None


def end_tokens(tokenizer: Any, generation_eos: int | Sequence[int] | None) -> set[int]:
    """Ids that end an assistant's turn: the tokenizer's, those at which generation stops, and the special token that the chat
    template writes after an answer (base models with a chat's template name another end). Raises DataError if there are none.
    """
    extra = [generation_eos] if isinstance(generation_eos, int) else list(generation_eos or [])
    found = {token for token in [tokenizer.eos_token_id, *extra, _written_after_an_answer(tokenizer)] if token is not None}
    if not found:
        raise DataError("the tokenizer has no end-of-sequence token, so the model could not learn to stop: set `eos_token`")
    return found


def _written_after_an_answer(tokenizer: Any) -> int | None:
    """The special token that stands right behind an answer in the chat template; None if there is none."""
    turns = [{"role": "user", "content": "2 + 3?"}]
    try:
        prompt, whole = rendered_prompt(tokenizer, "probe", turns), _rendered(tokenizer, "probe", [*turns, _answer("5")])
    except DataError:  # it will fail on a sample, too, and that is told with the sample's name
        return None
    behind = whole.removeprefix(f"{prompt}5")
    ids = token_ids(tokenizer, behind) if behind != whole else []
    return ids[0] if ids and tokenizer.added_tokens_decoder.get(ids[0]) and tokenizer.added_tokens_decoder[ids[0]].special else None


def _answer(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def encode(tokenizer: Any, sample: Sample, ends: set[int]) -> Encoded:
    """Tokens of one sample, with loss on the completion (its `unlearned` parts apart) and the end-of-turn token after it.

    Raises EndWithin if the completion holds an end-of-turn token, DataError if the chat template changes the completion (R1-style
    ones strip what precedes `</think>`), renders the prompt differently once an answer follows, or writes no end-of-turn token
    after the answer.
    """
    prompt = rendered_prompt(tokenizer, sample.id, sample.turns)
    whole = _rendered(tokenizer, sample.id, [*sample.turns, _answer(sample.completion)])
    if not whole.startswith(prompt):
        raise DataError(
            f"sample {sample.id}: the chat template changes the prompt before an answer: {prompt!r} is not the start of {whole!r}"
        )
    answer = whole[len(prompt) :]
    if not sample.completion:
        raise DataError(f"sample {sample.id}: it has no assistant's turn to learn: its completion is empty")
    if not answer.startswith(sample.completion):
        raise DataError(f"sample {sample.id}: the chat template changes the answer: {sample.completion!r} became {answer!r}")
    prompt_ids = token_ids(tokenizer, prompt)
    answer_ids = token_ids(tokenizer, answer)
    end = next((place for place, token in enumerate(answer_ids) if token in ends), None)
    if end is None:
        raise DataError(f"sample {sample.id}: no end-of-turn token follows the answer in {answer[-80:]!r} (known: {sorted(ends)})")
    if end < len(token_ids(tokenizer, sample.completion)) - 1:
        raise EndWithin(f"sample {sample.id}: its answer holds the end-of-turn token {tokenizer.decode(answer_ids[end])!r} itself")
    labels = answer_ids[: end + 1]
    if sample.unlearned:
        offsets = tokenizer(answer, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        for place, (start, stop) in enumerate(offsets[: end + 1]):
            if any(start < last and stop > first for first, last in sample.unlearned):
                labels[place] = IGNORED
    return Encoded(prompt_ids + answer_ids[: end + 1], [IGNORED] * len(prompt_ids) + labels)


def sound(samples: Sequence[R], encoded: Callable[[R], T]) -> Iterator[T]:
    """Samples as `encoded` makes them, without those whose answer holds the end of a turn. Raises DataError if none is left."""
    last = None
    left = len(samples)
    for sample in samples:
        try:
            yield encoded(sample)
        except EndWithin as error:
            last, left = error, left - 1
    if last and not left:
        raise last


def rendered_prompt(tokenizer: Any, name: str, turns: list[dict[str, str]]) -> str:
    """A chat in the model's chat template, up to where the assistant's turn begins. Raises DataError, naming the sample."""
    return _rendered(tokenizer, name, turns, add_generation_prompt=True)


def token_ids(tokenizer: Any, text: str) -> list[int]:
    """The ids of a text, without special tokens around it."""
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


def separator(tokenizer: Any) -> int:
    """The id of a newline, which stands after each step that is judged. Raises DataError if it is not one token."""
    found = token_ids(tokenizer, "\n")
    if len(found) != 1:
        raise DataError(f"the tokenizer makes {len(found)} tokens of a newline, which stands after each step and has to be one")
    return found[0]


def _rendered(tokenizer: Any, name: str, chat: list[dict[str, str]], **options: bool) -> str:
    try:
        text: str = tokenizer.apply_chat_template(chat, tokenize=False, **options)
    except Exception as error:  # a template is a program of the model's publisher: it may raise anything
        raise DataError(f"sample {name}: the chat template fails: {type(error).__name__}: {error}") from error
    return text


def shown(tokenizer: Any, encoded: Encoded) -> str:
    """The sample as the model sees it, its loss tokens between ⟦ and ⟧: for the log."""
    pieces = []
    for learned, group in groupby(zip(encoded.input_ids, encoded.labels, strict=True), key=lambda pair: pair[1] != IGNORED):
        text = tokenizer.decode([token for token, _ in group])
        pieces.append(f"⟦{text}⟧" if learned else text)
    return "".join(pieces)


def check_mask(tokenizer: Any, sample: Sample, encoded: Encoded, ends: set[int]) -> None:
    """Decodes one sample's loss tokens and compares: the answer (but for what is not to be learned of it) and an end-of-turn token
    must be among them, the prompt not.

    White space is not compared: some tokenizers do not give it back. Raises DataError.
    """
    learned = [label for label in encoded.labels if label != IGNORED]
    if not learned or learned[-1] not in ends:
        raise DataError(f"sample {sample.id}: no loss on the end of the turn: the model would not learn to stop")
    text, wanted = tokenizer.decode(learned[:-1]), sample.completion
    for start, stop in sorted(sample.unlearned, reverse=True):
        wanted = wanted[:start] + wanted[stop:]
    if "".join(text.split()) != "".join(wanted.split()):
        raise DataError(f"sample {sample.id}: the loss is on {text!r}, not on the answer {wanted!r}")


def schedule(lengths: Sequence[int], batch_size: int, epochs: float, seed: int, train_tokens: int | None = None) -> list[int]:
    """Places of the samples in the order in which the whole training sees them: steps x batch_size, longest first in a batch.

    With `train_tokens`, as many steps as see at least so many tokens, whatever `epochs` says. Every epoch is a new permutation;
    batches hold samples of like length (little padding) and come in random order. A function of its arguments alone, so a resumed
    training needs no generator's state, and any number of processes sees the same batches.
    """
    steps = max(1, round(len(lengths) * epochs / batch_size))
    generator = random.Random(seed)
    batches: list[list[int]] = []
    waiting: list[int] = []
    seen = 0
    while len(batches) < steps if train_tokens is None else seen < train_tokens:
        waiting += generator.sample(range(len(lengths)), len(lengths))
        full = len(waiting) // batch_size * batch_size  # what is left of an epoch begins the next one's first pool
        ready, waiting = waiting[:full], waiting[full:]
        for start in range(0, full, POOL * batch_size):
            pool = sorted(ready[start : start + POOL * batch_size], key=lambda place: -lengths[place])
            cut = [pool[at : at + batch_size] for at in range(0, len(pool), batch_size)]
            batches += generator.sample(cut, len(cut))
        seen = sum(lengths[place] for batch in batches for place in batch)
    if train_tokens is not None:
        ends = accumulate(sum(lengths[place] for place in batch) for batch in batches)
        steps = next(number for number, end in enumerate(ends, start=1) if end >= train_tokens)
    return [place for batch in batches[:steps] for place in batch]
