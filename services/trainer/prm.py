"""A step-level reward model: a token classifier on transformers' own Trainer (TRL has none).

The layout is that of the format `longthought` (`shared/engines/prm/own.py`), by which the checkpoint is served: the chat up to the
assistant's turn, then each step's tokens and the separator's id; the label stands at the separator. Separators are ids appended
to tokenised steps: joined as text they may merge with what stands beside them (4.7 points of F1, arXiv 2412.06559).
"""

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from peft import TaskType, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    DataCollatorForTokenClassification,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
)

from services.trainer import data
from services.trainer.job import Job, Steps, user
from services.trainer.models import adapter, load
from services.trainer.rows import Common, Prepared, fitting

FIGURES: tuple[str, ...] = ()
LABELS = {0: "wrong", 1: "right"}


class StepTrainer(Trainer):  # type: ignore[misc]
    """Trainer whose loss is the mean over the labelled steps of a whole optimiser step, whatever the micro-batches."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: torch.Tensor | int | None = None
    ) -> Any:
        """Cross-entropy at the separators, in nats a step."""
        labels = inputs.pop("labels")
        logits = model(**inputs).logits
        total = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="sum")
        return total * self.accelerator.num_processes / num_items_in_batch


def prepare(job: Job, tokenizer: PreTrainedTokenizerBase, ends: set[int]) -> Prepared:
    """Question and steps of every sample, a label at each step's separator."""
    newline = data.separator(tokenizer)
    encoded = [_encode(tokenizer, sample, newline) for sample in data.read(job, Steps)]
    rows = ((one.__dict__, len(one.input_ids), len(one.input_ids)) for one in encoded)
    return fitting(rows, job.max_length, _shown(tokenizer, encoded[0]))


def _encode(tokenizer: PreTrainedTokenizerBase, sample: Steps, separator: int) -> data.Encoded:
    ids = data.token_ids(tokenizer, data.rendered_prompt(tokenizer, sample.id, [user(sample.question)]))
    labels = [data.IGNORED] * len(ids)
    for step, label in zip(sample.steps, sample.labels, strict=True):
        tokens = data.token_ids(tokenizer, step)
        ids += [*tokens, separator]
        labels += [*([data.IGNORED] * len(tokens)), int(label)]
    return data.Encoded(ids, labels)


def _shown(tokenizer: PreTrainedTokenizerBase, one: data.Encoded) -> str:
    """As the model sees it, each label in the place of its separator."""
    text, start = "", 0
    for place, label in enumerate(one.labels):
        if label != data.IGNORED:
            text += f"{tokenizer.decode(one.input_ids[start:place])}⟦{LABELS[label]}⟧\n"
            start = place + 1
    return text


def build(job: Job, rows: Dataset, order: Sequence[int], longest: int, common: Common) -> StepTrainer:
    """Trainer over a classifier of two labels, its head new, the rest the base's."""
    args = TrainingArguments(**common.arguments, train_sampling_strategy="sequential")
    if common.tokenizer.pad_token is None:
        common.tokenizer.pad_token = common.tokenizer.eos_token
    torch.manual_seed(job.seed)  # the head's first weights
    names = {"id2label": LABELS, "label2id": {name: number for number, name in LABELS.items()}}
    config = AutoConfig.from_pretrained(job.base, num_labels=len(LABELS), **names)
    config.classifier_dropout = 0.0
    config.pad_token_id = common.tokenizer.pad_token_id
    model = load(job, AutoModelForTokenClassification, longest, config=config)
    if (lora := adapter(job, TaskType.TOKEN_CLS)) is not None:
        model = get_peft_model(model, lora)
    return StepTrainer(
        model=model,
        args=args,
        train_dataset=rows.select(order),
        data_collator=DataCollatorForTokenClassification(common.tokenizer),
        processing_class=common.tokenizer,
        callbacks=[common.reporter],
    )
