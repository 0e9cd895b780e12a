"""Stages of the trainer and the evaluator."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from shared.contracts.models import Count, Fraction, Sampling
from shared.contracts.stages.base import Service, StageBase


class TrainStage(StageBase):
    """One training: a base model and a dataset into a checkpoint."""

    kind: Literal["train"] = "train"
    service: ClassVar[Service] = Service.TRAINER
    method: Literal["sft"] = "sft"
    base: str
    data: str
    """The stage whose records are trained on."""
    config: Literal["sft", "journey", "shortcut"] = "sft"
    """Which of its records: `sft` (imported examples, teachers' responses), `journey` (long thoughts) or `shortcut`."""
    match_counts: bool = True
    """journey/shortcut: train on problems that have both, equally many of each, so that the comparison is fair."""
    epochs: Annotated[float, Field(gt=0)] = 1
    learning_rate: Annotated[float, Field(gt=0)] = 1e-5
    batch_size: Count = 8
    """Samples an optimiser step, over all devices."""
    micro_batch_size: Count | None = None
    max_length: Count = 1024
    warmup_share: Fraction = 0.03
    save_steps: Count = 20
    processes: Count = 1
    max_samples: Count | None = None
    seed: int = 0
    deadline_seconds: Annotated[float, Field(gt=0)] = 7 * 24 * 3600

    def references(self) -> Iterator[tuple[str, str]]:
        yield "base", self.base
        yield "data", self.data


class EvaluateStage(StageBase):
    """Models measured on problems under one set of conditions."""

    kind: Literal["evaluate"] = "evaluate"
    service: ClassVar[Service] = Service.EVALUATOR
    models: Annotated[tuple[str, ...], Field(min_length=1)]
    problems: str
    samples: Count = 2
    sampling: Sampling = Sampling(temperature=0.8, max_tokens=512)
    keywords: tuple[str, ...] = ("wait", "alternatively")
    judge: str | None = None
    """The model that judges answers to problems whose grading is a judge's."""
    judge_sampling: Sampling = Sampling(temperature=0.0, max_tokens=512)
    """The judge's; one that thinks before it answers needs more tokens."""

    @model_validator(mode="after")
    def _each_model_once(self) -> Self:
        if twice := sorted({model for model in self.models if self.models.count(model) > 1}):
            raise ValueError(f"models: `{twice[0]}` is named more than once")
        return self

    def references(self) -> Iterator[tuple[str, str]]:
        for place, model in enumerate(self.models):
            yield f"models.{place}", model
        if self.judge:
            yield "judge", self.judge

    def roles(self) -> dict[str, str]:
        return {"judge": self.judge} if self.judge else {}
