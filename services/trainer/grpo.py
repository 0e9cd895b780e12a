"""Group relative policy optimisation with TRL (arXiv 2402.03300): the step beyond the reports.

A question's completions are sampled from the model in training, and each is rewarded by its answer: 1 if it verifies, 0 if not,
and no reward (it is left out of the comparison) where it could not be graded.
"""

import asyncio
import importlib.util
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase
from trl import GRPOConfig, GRPOTrainer

from services.trainer import data
from services.trainer.job import Job, Sample
from services.trainer.models import adapter, load
from services.trainer.rows import Common, Prepared, fitting
from shared.answers.extract import final_answer
from shared.answers.verify import GradingError, verify

LOSS = "dapo"
"""Every token weighs the same, whatever its completion's length (arXiv 2503.14476, section 3.3); GRPO's own favours short ones."""
FIGURES: tuple[str, ...] = ("reward", "reward_std", "completions/mean_length", "completions/clipped_ratio")


def prepare(job: Job, tokenizer: PreTrainedTokenizerBase, ends: set[int]) -> Prepared:
    """Questions with their answers."""
    samples = data.read(job, Sample)
    rows = []
    for sample in samples:
        if not sample.answer.strip():
            raise data.DataError(f"sample {sample.id}: it has no answer, by which completions are rewarded: leave its problem out")
        tokens = len(data.token_ids(tokenizer, data.rendered_prompt(tokenizer, sample.id, sample.turns)))
        row = {"prompt": sample.turns, "answer": sample.answer}
        rows.append((row, tokens, tokens + job.rollout.max_tokens))
    shown = "".join(
        f"{one.turns[-1]['content']}\n⟦{job.generations} completions, right where the answer is {one.answer}⟧"
        for one in samples[:1]
    )
    return fitting(rows, job.max_length, shown)


class Verified:
    """The reward. It has an event loop of its own: the trainer's thread has none, and the graders' must outlive a call."""

    __name__ = "verified"

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def __call__(self, completions: list[list[dict[str, str]]], answer: list[str], **others: Any) -> list[float | None]:
        """One reward a completion; None: it could not be graded."""
        return self._loop.run_until_complete(self._all([one[0]["content"] for one in completions], answer))

    async def _all(self, texts: list[str], answers: list[str]) -> list[float | None]:
        return list(await asyncio.gather(*(self._one(text, gold) for text, gold in zip(texts, answers, strict=True))))

    async def _one(self, text: str, gold: str) -> float | None:
        stated = final_answer(text)
        if stated is None:
            return 0.0
        try:
            return float(await verify(gold, stated))
        except GradingError:
            return None


def build(job: Job, rows: Dataset, order: Sequence[int], longest: int, common: Common) -> GRPOTrainer:
    """GRPOTrainer; on a GPU with vLLM the rollouts are vLLM's, in the same process."""
    engine = {}
    if torch.cuda.is_available() and importlib.util.find_spec("vllm"):
        engine = {"use_vllm": True, "vllm_mode": "colocate", "vllm_max_model_length": longest}
    args = GRPOConfig(
        **common.arguments,
        **engine,
        beta=job.beta or 0.0,
        num_generations=job.generations,
        generation_batch_size=job.batch_size,
        max_completion_length=job.rollout.max_tokens,
        temperature=job.rollout.temperature,
        top_p=job.rollout.top_p,
        loss_type=LOSS,
        shuffle_dataset=False,  # the dataset is the schedule, in its order
    )
    return GRPOTrainer(
        model=load(job, AutoModelForCausalLM, longest),
        reward_funcs=[Verified()],
        args=args,
        train_dataset=rows.select(order),
        processing_class=common.tokenizer,
        callbacks=[common.reporter],
        peft_config=adapter(job),
    )
