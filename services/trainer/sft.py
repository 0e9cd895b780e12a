"""Supervised fine-tuning with TRL.

What costs time on a CPU with TRL's defaults, and is not done here: autocast (weights are in the fast type themselves,
`optimizer.py` keeps them in fp32), gradient checkpointing, entropy and accuracy of every token, logits of positions without loss
(`loss.py`).
"""

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer

from services.trainer import data
from services.trainer.job import Job, Sample
from services.trainer.loss import plain_head, score_loss_tokens
from services.trainer.models import adapter, load
from services.trainer.rows import Common, Prepared, fitting

FIGURES: tuple[str, ...] = ()


class CompletionTrainer(SFTTrainer):  # type: ignore[misc]
    """SFTTrainer that scores loss tokens alone where TRL's own head would score all (on CPUs)."""

    scores_loss_tokens = False

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: torch.Tensor | int | None = None
    ) -> Any:
        """Mean over the loss tokens of the whole step (all micro-batches, all processes), in nats."""
        if not self.scores_loss_tokens or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        read = {name: inputs[name] for name in ("input_ids", "attention_mask", "position_ids") if name in inputs}
        loss = model(**read, loss_labels=inputs["labels"])
        # DDP averages gradients over the processes, while num_items_in_batch counts the tokens of all
        return loss * self.accelerator.num_processes / num_items_in_batch


def prepare(job: Job, tokenizer: PreTrainedTokenizerBase, ends: set[int]) -> Prepared:
    """Prompt and completion of every sample, loss on the completion's tokens alone."""
    samples = data.read(job, Sample)
    found = list(data.sound(samples, lambda sample: (sample, *_encode(tokenizer, sample, ends))))
    first, encoded, _ = found[0]
    data.check_mask(tokenizer, first, encoded, ends)
    rows = [(one.__dict__, len(one.input_ids), longest) for _, one, longest in found]
    return fitting(rows, job.max_length, data.shown(tokenizer, encoded), len(samples) - len(found))


def _encode(tokenizer: PreTrainedTokenizerBase, sample: Sample, ends: set[int]) -> tuple[data.Encoded, int]:
    """A sample's tokens, and how many they or its counterpart's are."""
    own, other = data.encode(tokenizer, sample, ends), sample.model_copy(update={"completion": sample.beside, "unlearned": ()})
    beside = len(data.encode(tokenizer, other, ends).input_ids) if other.completion else 0
    return own, max(len(own.input_ids), beside)


def build(job: Job, rows: Dataset, order: Sequence[int], longest: int, common: Common) -> CompletionTrainer:
    """SFTTrainer over rows that hold token ids and labels already."""
    args = SFTConfig(
        **common.arguments,
        train_sampling_strategy="sequential",  # the dataset is the schedule, in its order
        dataset_kwargs={"skip_prepare_dataset": True},
        padding_free=job.packing,
        max_length=None,
    )
    model = load(job, AutoModelForCausalLM, longest)  # after the arguments, which choose this process's device
    trainer = CompletionTrainer(
        model=model,
        args=args,
        train_dataset=rows.select(order),
        processing_class=common.tokenizer,
        callbacks=[common.reporter],
        peft_config=adapter(job),
    )
    # a few models say that they don't: their steps would be means of micro-batches' means. TRL's loss or ours is taken, not theirs
    trainer.model_accepts_loss_kwargs = True
    if not torch.cuda.is_available() and plain_head(model):
        score_loss_tokens(trainer.model.get_base_model() if job.lora else trainer.model)
        trainer.scores_loss_tokens = True
    return trainer
