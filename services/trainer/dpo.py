"""Direct preference optimisation with TRL (arXiv 2305.18290; Part 1, Q8).

Pairs of whole responses end their turn. Pairs of single steps (a tree's siblings) do not: the prompt holds the steps that both
sides share, and nothing is taught of where a turn ends.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState
from datasets import Dataset, load_from_disk
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase
from trl import DPOConfig, DPOTrainer

from services.trainer import data
from services.trainer.job import Job, Pair, Sample, user
from services.trainer.models import adapter, load
from services.trainer.rows import Common, Prepared, fitting

FIGURES: tuple[str, ...] = ("rewards/margins", "rewards/accuracies")
PAIRS = "pairs-by-length"
"""Folder of the pairs beside the checkpoints."""
BETA = 0.1
"""As TRL's and the paper's."""


class PairTrainer(DPOTrainer):  # type: ignore[misc]
    """DPOTrainer over pairs that are token ids already, in the order of the schedule."""

    def _precompute_ref_logps(self, *args: Any, **kwargs: Any) -> Dataset:
        """With an adapter the model is its own reference, and under FSDP it is not on the device before the training begins."""
        waits = self.is_fsdp_enabled and self.ref_model is None
        if waits:
            self.model.to(self.args.device)
        found = super()._precompute_ref_logps(*args, **kwargs)
        if waits:
            self.model.to("cpu")
        return found

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset


def prepare(job: Job, tokenizer: PreTrainedTokenizerBase, ends: set[int]) -> Prepared:
    """Prompt, chosen and rejected side of every pair."""
    pairs = data.read(job, Pair)
    rows = list(data.sound(pairs, lambda pair: _encode(tokenizer, pair, ends)))
    sizes = [[len(row[side]) for side in ("prompt_ids", "chosen_ids", "rejected_ids")] for row in rows]
    measured = (
        (row, 2 * prompt + chosen + rejected, prompt + max(chosen, rejected))
        for row, (prompt, chosen, rejected) in zip(rows, sizes, strict=True)
    )
    prompt, chosen, rejected = (tokenizer.decode(rows[0][side]) for side in ("prompt_ids", "chosen_ids", "rejected_ids"))
    shown = f"{prompt}⟦{chosen}⟧ rather than ⟦{rejected}⟧"
    return fitting(measured, job.max_length, shown, len(pairs) - len(rows))


def _encode(tokenizer: PreTrainedTokenizerBase, pair: Pair, ends: set[int]) -> dict[str, list[int]]:
    if not pair.whole:
        prompt = data.rendered_prompt(tokenizer, pair.id, [user(pair.prompt)]) + pair.prefix
        sides = {f"{side}_ids": data.token_ids(tokenizer, getattr(pair, side)) for side in ("chosen", "rejected")}
        return {"prompt_ids": data.token_ids(tokenizer, prompt), **sides}
    row: dict[str, list[int]] = {}
    for side in ("chosen", "rejected"):
        text = pair.prefix + getattr(pair, side)
        sample = Sample(id=f"{pair.id}/{side}", problem_id=pair.problem_id, prompt=pair.prompt, completion=text)
        one = data.encode(tokenizer, sample, ends)
        length = one.labels.count(data.IGNORED)
        row |= {"prompt_ids": one.input_ids[:length], f"{side}_ids": one.input_ids[length:]}
    return row


def _on_disk(rows: Dataset, folder: Path) -> Dataset:
    """The same rows from a folder that all processes see: the first one's log-probabilities lie beside them, for all to read."""
    with PartialState().main_process_first():
        if not folder.exists():
            unfinished = folder.with_name(f"{folder.name}-unfinished")
            rows.save_to_disk(unfinished)  # over what an attempt that was cut short left of it
            unfinished.rename(folder)
    return load_from_disk(folder)


def build(job: Job, rows: Dataset, order: Sequence[int], longest: int, common: Common) -> PairTrainer:
    """DPOTrainer; the reference is the base: its log-probabilities of every pair are computed before the first step, and kept for a
    resume.
    """
    by_length = sorted(range(len(rows)), key=lambda place: -sum(map(len, rows[place].values())))  # little padding
    places = {place: number for number, place in enumerate(by_length)}
    args = DPOConfig(
        **common.arguments,
        beta=BETA if job.beta is None else job.beta,
        disable_dropout=not (job.lora and job.lora.dropout),
        precompute_ref_log_probs=True,
        precompute_ref_batch_size=common.arguments["per_device_train_batch_size"],
        train_sampling_strategy="sequential",
        max_length=None,
    )
    trainer = PairTrainer(
        model=load(job, AutoModelForCausalLM, longest),
        args=args,
        train_dataset=_on_disk(rows.select(by_length), Path(job.checkpoints) / PAIRS),
        processing_class=common.tokenizer,
        callbacks=[common.reporter],
        peft_config=adapter(job),
    )
    trainer.train_dataset = trainer.train_dataset.select([places[place] for place in order])
    return trainer
