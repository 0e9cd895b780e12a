"""One training from its Job to a model folder, whatever the method: what all methods share. Belongs to the training process.

A method (`sft.py`, `dpo.py`, `prm.py`, `grpo.py`) says how its data becomes rows (`prepare`) and which trainer learns from them
(`build`). Everything else is here: the order of the samples, checkpoints, the stop, the events, the final model.
"""

import importlib
import importlib.util
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase, PrinterCallback, Trainer

from services.trainer import data
from services.trainer.checkpoints import METRICS, clear, newest
from services.trainer.job import Done, Event, Job, Started, Stopped
from services.trainer.memory import GivesBack
from services.trainer.metrics import Reporter, mean_loss
from services.trainer.models import save, settle
from services.trainer.optimizer import MasterAdamW, linear_schedule
from services.trainer.rows import Common, Prepared
from services.trainer.sinks import sinks
from services.trainer.stopping import Stopping

MICRO_BATCH = 8
MICRO_TOKENS = {"cpu": 1024, "cuda": 8192}
"""A micro-batch chosen by us holds at most so many samples and tokens; one of the longest twentieth, at most twice as many: a
single long sample is no reason to train all others one by one, which is slow. On a CPU larger ones are no faster, only
larger: SmolLM2's 8 samples of 200 tokens took 5.0 GB and 711 tokens a second, 4 took 3.8 GB and 691."""
USUAL = 0.95
"""Share of the samples that are no longer than what counts as a usual length."""


class Method(Protocol):
    """What a method's file holds."""

    @property
    def FIGURES(self) -> tuple[str, ...]:
        """Keys of the trainer's log that are told with each step."""

    def prepare(self, job: Job, tokenizer: PreTrainedTokenizerBase, ends: set[int]) -> Prepared:
        """The job's data as rows of token ids. Raises DataError."""

    def build(self, job: Job, rows: Dataset, order: Sequence[int], longest: int, common: Common) -> Trainer:
        """The trainer over rows in the order of the schedule, which names their places."""


def train(job: Job, stopping: Stopping, tell: Callable[[Event], None]) -> None:
    """Runs a job to its end or to a stop, telling of both. Raises DataError where model and data cannot go together."""
    cuda = torch.cuda.is_available()
    method: Method = importlib.import_module(f"services.trainer.{job.method}")  # each has libraries of its own
    tokenizer = AutoTokenizer.from_pretrained(job.base)
    if tokenizer.chat_template is None:
        raise data.DataError(f"{job.base}: the tokenizer has no chat template: take an instruct model, or add one to its folder")
    data.check_length(AutoConfig.from_pretrained(job.base), job.max_length)
    prepared = method.prepare(job, tokenizer, data.end_tokens(tokenizer, data.stops(Path(job.base))))
    batch = job.batch_size // (job.generations if job.method == "grpo" else 1)
    order = data.schedule(prepared.lengths, batch, job.epochs, job.seed, job.train_tokens)
    steps = len(order) // batch
    tokens = None  # grpo's come from the model
    if job.method != "grpo":
        tokens = [sum(prepared.lengths[place] for place in order[at : at + batch]) for at in range(0, len(order), batch)]
    written = job.rollout.max_tokens if job.method == "grpo" else 0
    longest = max(prepared.lengths) + written
    micro = _micro_batch(job, [length + written for length in prepared.lengths], MICRO_TOKENS["cuda" if cuda else "cpu"])

    reporter = Reporter(tokens, len(order) / len(prepared.rows), stopping, job, method.FIGURES, tell)
    common = Common(_arguments(job, steps, micro, cuda), tokenizer, reporter)
    trainer = method.build(job, Dataset.from_list(prepared.rows), order, longest, common)
    settle(trainer.model.get_base_model() if job.lora else trainer.model, tokenizer)
    trainer.remove_callback(PrinterCallback)
    if not cuda:
        trainer.add_callback(GivesBack())
    trainer.create_scheduler = linear_schedule(trainer)
    if not trainer.is_deepspeed_enabled:  # which keeps master copies of its own
        trainer.optimizer_cls_and_kwargs = (MasterAdamW, {"lr": job.learning_rate})
    first = trainer.is_world_process_zero()
    PartialState().wait_for_everyone()  # each waited for its predecessor: none is left that could be saving
    last = newest(Path(job.checkpoints))
    if first:
        clear(Path(job.checkpoints), keep=last)
        tell(
            Started(
                samples=len(prepared.rows),
                too_long=prepared.too_long,
                unfit=prepared.unfit,
                steps=steps,
                train_tokens=sum(tokens) if tokens else None,
                micro_batch_size=micro,
                device=torch.cuda.get_device_name() if cuda else f"cpu ({torch.get_num_threads()} threads)",
                resumed_from=int(last.name.removeprefix("checkpoint-")) if last else None,
                shown=prepared.shown,
            )
        )
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    if reporter.stopped:
        if first:
            tell(Stopped(step=trainer.state.global_step))
        return
    loss, seconds, speed = mean_loss(trainer.state.log_history), reporter.seconds, reporter.tokens_per_second(trainer.state)
    save(job, trainer, tokenizer)
    if first:
        tell(
            Done(
                steps=steps,
                epochs=round(len(order) / len(prepared.rows), 3),
                train_tokens=sum(tokens) if tokens else trainer.state.num_input_tokens_seen,
                loss=loss,
                seconds=round(seconds, 1),
                tokens_per_second=round(speed, 1),
            )
        )


def _micro_batch(job: Job, lengths: Sequence[int], tokens: int) -> int:
    """Samples of one forward pass of one process. What does not divide was refused with the recipe."""
    if job.micro_batch_size:
        return job.micro_batch_size
    share = job.batch_size // job.processes
    usual = sorted(lengths)[math.ceil(USUAL * len(lengths)) - 1]
    most = max(1, min(MICRO_BATCH, tokens // usual, 2 * tokens // max(lengths)))
    return max(size for size in range(1, most + 1) if share % size == 0)


def _arguments(job: Job, steps: int, micro: int, cuda: bool) -> dict[str, Any]:
    """Of transformers' TrainingArguments."""
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(Path(job.checkpoints) / METRICS)
    return {
        "output_dir": job.checkpoints,
        "max_steps": steps,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": job.batch_size // (micro * job.processes),
        "learning_rate": job.learning_rate,
        "warmup_steps": min(round(job.warmup_share * steps), steps - 1),
        "bf16": job.accelerate == "zero3",
        "gradient_checkpointing": cuda if job.gradient_checkpointing is None else job.gradient_checkpointing,
        "use_liger_kernel": cuda and importlib.util.find_spec("liger_kernel") is not None,
        "liger_kernel_config": {"fused_linear_cross_entropy": False},  # which would take a judge's head for an output layer
        "use_cpu": not cuda,
        "dataloader_pin_memory": cuda,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a loss that is no number is to be seen
        "save_strategy": "steps",
        "save_steps": job.save_steps,
        "seed": job.seed,
        "report_to": sinks(),
        "run_name": job.name,
        "disable_tqdm": True,
    }
