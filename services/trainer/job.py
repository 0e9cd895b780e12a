"""What the worker and its training process tell each other: a Job on the way in, Events (one JSON line each) on the way out."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from shared.contracts.base import Frozen
from shared.contracts.stages import TrainStage

STOPPED = 75
"""Exit code of a training that was told to stop, saved a checkpoint and can be resumed (EX_TEMPFAIL of sysexits.h)."""
REFUSED = 65
"""Exit code of a training whose model or data cannot work, on any attempt (EX_DATAERR)."""


class Sample(Frozen):
    """One conversation of one turn each: `completion` is what is learned."""

    id: str
    problem_id: str
    prompt: str
    """The user turn, as the model will see it when it is searched with and evaluated."""
    completion: str


class Job(Frozen):
    """One training, as its process reads it from a file. Paths are local."""

    base: str
    data: str
    """JSONL file of Samples."""
    output: str
    """Folder for the final model."""
    checkpoints: str
    """Folder that outlives attempts: the next one goes on from its newest complete checkpoint."""
    mirror: str | None = None
    """fsspec URL to which checkpoints are copied as well; None where `checkpoints` is already seen by every worker."""
    epochs: float
    learning_rate: float
    batch_size: int
    micro_batch_size: int | None = None
    max_length: int
    warmup_share: float
    save_steps: int
    processes: int = 1
    seed: int


class Started(Frozen):
    """The data is read and the first step is about to run. Token counts are of all steps."""

    event: Literal["started"] = "started"
    samples: int
    too_long: int
    """Samples longer than `max_length`, left out."""
    steps: int
    train_tokens: int
    micro_batch_size: int
    device: str
    resumed_from: int | None
    shown: str
    """One sample as it is trained on, its loss tokens between ⟦ and ⟧."""


class Step(Frozen):
    """An optimiser step was taken."""

    event: Literal["step"] = "step"
    step: int
    of: int
    epoch: float
    loss: float
    """Nats per loss token."""
    learning_rate: float
    tokens_per_second: float
    """Prompt and completion tokens, without padding, since this attempt's first step."""


class Saved(Frozen):
    """A checkpoint is complete."""

    event: Literal["saved"] = "saved"
    step: int


class Stopped(Frozen):
    """The training was told to stop and has saved where it was."""

    event: Literal["stopped"] = "stopped"
    step: int


class Done(Frozen):
    """The final model lies in the job's `output`."""

    event: Literal["done"] = "done"
    steps: int
    epochs: float
    loss: float
    """Mean over the last tenth of the steps (nats per loss token)."""
    seconds: float
    """This attempt's, from the first step to the last."""
    tokens_per_second: float


class Refused(Frozen):
    """The model or the data cannot work: no retry will help."""

    event: Literal["refused"] = "refused"
    message: str


Event = Annotated[Started | Step | Saved | Stopped | Done | Refused, Field(discriminator="event")]
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def parse_event(line: bytes) -> Event | None:
    """The event that a line of the process's stdout holds; None for what a library printed there."""
    return _EVENT.validate_json(line) if line.startswith(b'{"event":') else None


def fingerprint(stage: TrainStage, base: str, samples: list[Sample]) -> str:
    """Names what is trained: a checkpoint may only be resumed by the same training."""
    digest = hashlib.sha256(stage.model_dump_json().encode() + base.encode())
    for sample in samples:
        digest.update(sample.model_dump_json().encode())
    return digest.hexdigest()[:16]


def write_samples(path: Path, samples: list[Sample]) -> None:
    """One JSON object a line."""
    path.write_text("".join(f"{sample.model_dump_json()}\n" for sample in samples), encoding="utf-8")


def read_samples(path: Path) -> list[Sample]:
    """The inverse of `write_samples`."""
    return [Sample.model_validate_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
