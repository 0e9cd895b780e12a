"""Supervised fine-tuning with TRL: from a Job to a model folder. Belongs to the training process.

What costs time on a CPU with TRL's defaults, and is not done here: autocast (weights are bf16 themselves, `optimizer.py` keeps the
fp32 copy), gradient checkpointing, entropy and accuracy of every token, and logits of positions without loss (`loss.py`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.optim.lr_scheduler import LambdaLR
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase, PrinterCallback
from trl import SFTConfig, SFTTrainer

from services.trainer import data
from services.trainer.checkpoints import newest
from services.trainer.job import Done, Event, Job, Started, Stopped, read_samples
from services.trainer.loss import plain_head, score_loss_tokens
from services.trainer.metrics import Reporter, mean_loss
from services.trainer.optimizer import MasterAdamW
from services.trainer.stopping import Stopping

MICRO_BATCH = 8
MICRO_TOKENS = {"cpu": 1024, "cuda": 8192}
"""A micro-batch chosen by us holds at most so many samples and tokens. On a CPU larger ones are no faster, only larger: SmolLM2's
8 samples of 200 tokens took 5.0 GB and 711 tokens a second, 4 took 3.8 GB and 691."""
EAGER_LENGTH = 512
"""Up to this length attention by plain matrix products is the faster one on a CPU; beyond, its matrices take too much memory."""


class CompletionTrainer(SFTTrainer):  # type: ignore[misc]
    """SFTTrainer that scores loss tokens alone where TRL's own head would score all (on CPUs)."""

    scores_loss_tokens = False

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: torch.Tensor | int | None = None
    ) -> Any:
        """Mean over the loss tokens of the whole step (all micro-batches, all processes), in nats."""
        if not self.scores_loss_tokens or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        loss = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], loss_labels=inputs["labels"])
        # DDP averages gradients over the processes, while num_items_in_batch counts the tokens of all
        return loss * self.accelerator.num_processes / num_items_in_batch

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> LambdaLR:
        """Linear warm-up and decay. transformers' own has a first step at learning rate 0: one of few, in a short training."""
        warmup: int = self.args.get_warmup_steps(num_training_steps)

        def rate(step: int) -> float:
            return min((step + 1) / (warmup + 1), (num_training_steps - step) / (num_training_steps - warmup))

        self.lr_scheduler = LambdaLR(self.optimizer if optimizer is None else optimizer, rate)
        self._created_lr_scheduler = True
        return self.lr_scheduler


def train(job: Job, stopping: Stopping, tell: Callable[[Event], None]) -> None:
    """Runs a job to its end or to a stop, telling of both. Raises DataError where model and data cannot go together."""
    cuda = torch.cuda.is_available()
    tokenizer = AutoTokenizer.from_pretrained(job.base)
    if tokenizer.chat_template is None:
        raise data.DataError(f"{job.base}: the tokenizer has no chat template: take an instruct model, or add one to its folder")
    encoded, too_long = _encode(job, tokenizer)
    lengths = [len(sample.input_ids) for sample in encoded]
    order = data.schedule(lengths, job.batch_size, job.epochs, job.seed)
    steps = len(order) // job.batch_size
    longest = max(lengths)
    micro = _micro_batch(job, longest, MICRO_TOKENS["cuda" if cuda else "cpu"])
    tokens = [sum(lengths[place] for place in order[at : at + job.batch_size]) for at in range(0, len(order), job.batch_size)]

    attention = "sdpa" if cuda or longest > EAGER_LENGTH else "eager"
    model = AutoModelForCausalLM.from_pretrained(job.base, dtype=torch.bfloat16, attn_implementation=attention)
    last = newest(Path(job.checkpoints))
    reporter = Reporter(tokens, job.epochs, stopping, Path(job.checkpoints), job.mirror, tell)
    trainer = CompletionTrainer(
        model=model,
        args=_arguments(job, steps, micro, cuda),
        train_dataset=Dataset.from_list([encoded[place].__dict__ for place in order]),
        processing_class=tokenizer,
        callbacks=[reporter],
        optimizer_cls_and_kwargs=(MasterAdamW, {"lr": job.learning_rate}),
    )
    trainer.remove_callback(PrinterCallback)
    if not cuda and plain_head(model):
        score_loss_tokens(trainer.model)
        trainer.scores_loss_tokens = True
    first = trainer.is_world_process_zero()
    if first:
        tell(
            Started(
                samples=len(encoded),
                too_long=too_long,
                steps=steps,
                train_tokens=sum(tokens),
                micro_batch_size=micro,
                device=torch.cuda.get_device_name() if cuda else f"cpu ({torch.get_num_threads()} threads)",
                resumed_from=int(last.name.removeprefix("checkpoint-")) if last else None,
                shown=data.shown(tokenizer, encoded[0]),
            )
        )
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    if reporter.stopped:
        if first:
            tell(Stopped(step=trainer.state.global_step))
        return
    _save(trainer, tokenizer, Path(job.output))
    if first:
        tell(
            Done(
                steps=steps,
                epochs=round(len(order) / len(encoded), 3),
                loss=mean_loss(trainer.state.log_history),
                seconds=round(reporter.seconds, 1),
                tokens_per_second=round(reporter.tokens_per_second(steps), 1),
            )
        )


def _encode(job: Job, tokenizer: PreTrainedTokenizerBase) -> tuple[list[data.Encoded], int]:
    has_config = (Path(job.base) / "generation_config.json").exists()
    ends = data.end_tokens(tokenizer, GenerationConfig.from_pretrained(job.base).eos_token_id if has_config else None)
    samples = read_samples(Path(job.data))
    encoded = [data.encode(tokenizer, sample, ends) for sample in samples]
    data.check_mask(tokenizer, samples[0], encoded[0], ends)
    fitting = [sample for sample in encoded if len(sample.input_ids) <= job.max_length]
    if not fitting:
        shortest = min(len(sample.input_ids) for sample in encoded)
        raise data.DataError(
            f"max_length {job.max_length} is too short for all {len(encoded)} samples: the shortest has {shortest} tokens"
        )
    return fitting, len(encoded) - len(fitting)


def _micro_batch(job: Job, longest: int, tokens: int) -> int:
    share, rest = divmod(job.batch_size, job.processes)
    if rest:
        raise data.DataError(f"batch_size {job.batch_size} cannot be shared by {job.processes} processes: make it a multiple")
    if job.micro_batch_size is None:
        most = max(1, min(MICRO_BATCH, tokens // longest))
        return max(size for size in range(1, most + 1) if share % size == 0)
    if share % job.micro_batch_size:
        raise data.DataError(f"micro_batch_size {job.micro_batch_size} does not divide a process's share of the batch, {share}")
    return job.micro_batch_size


def _arguments(job: Job, steps: int, micro: int, cuda: bool) -> SFTConfig:
    return SFTConfig(
        output_dir=job.checkpoints,
        max_steps=steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=job.batch_size // (micro * job.processes),
        learning_rate=job.learning_rate,
        warmup_steps=min(round(job.warmup_share * steps), steps - 1),
        train_sampling_strategy="sequential",  # the dataset is the schedule, in its order
        dataset_kwargs={"skip_prepare_dataset": True},  # and holds token ids and labels already
        max_length=None,
        bf16=False,
        gradient_checkpointing=cuda,
        use_cpu=not cuda,
        dataloader_pin_memory=cuda,
        logging_steps=1,
        save_strategy="steps",
        save_steps=job.save_steps,
        save_total_limit=1,
        seed=job.seed,
        report_to="none",
        disable_tqdm=True,
    )


def _save(trainer: CompletionTrainer, tokenizer: PreTrainedTokenizerBase, output: Path) -> None:
    """The model in Hugging Face layout: bf16 safetensors, config, generation config, tokenizer and chat template."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if trainer.is_world_process_zero():
        model.save_pretrained(output)
        tokenizer.save_pretrained(output)
