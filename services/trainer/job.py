"""What the worker and its training process tell each other: a Job on the way in, Events (one JSON line each) on the way out."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, TypeAdapter

from shared.contracts.base import Frozen, Message
from shared.contracts.models import Sampling
from shared.contracts.stages import TrainStage
from shared.contracts.stages.train import Lora, Method

STOPPED = 75
"""Exit code of a training that was told to stop, saved a checkpoint and can be resumed (EX_TEMPFAIL of sysexits.h)."""
REFUSED = 65
"""Exit code of a training whose model or data cannot work, on any attempt (EX_DATAERR)."""


def user(text: str) -> dict[str, str]:
    """A user's turn, as chat templates take it."""
    return {"role": "user", "content": text}


class Sample(Frozen):
    """A chat whose last turn is learned: `completion` (grpo: not looked at)."""

    id: str
    problem_id: str
    prompt: str
    """The user turn, as the model will see it when it is searched with and evaluated."""
    chat: tuple[Message, ...] = ()
    """The turns before the completion, where an existing chat was imported: in the place of `prompt`."""
    completion: str
    answer: str = ""
    """grpo: what a right completion's answer is."""
    unlearned: tuple[tuple[int, int], ...] = ()
    """Parts of `completion` without loss, as (start, end) in characters."""
    beside: str = ""
    """What another training, which is compared with this one, learns in its place: too long there, it is left out here."""

    @property
    def turns(self) -> list[dict[str, str]]:
        """The chat before the completion, as chat templates take it."""
        return [turn.model_dump() for turn in self.chat] or [user(self.prompt)]


class Pair(Frozen):
    """Two completions of one prompt, one preferred."""

    id: str
    problem_id: str
    prompt: str
    prefix: str = ""
    """Steps that the assistant has written already, which both sides go on from."""
    chosen: str
    rejected: str
    whole: bool
    """Whether both sides end the turn; False: they are single steps, after which it would go on."""


class Steps(Frozen):
    """A beginning of a solution, each step labelled right or not."""

    id: str
    problem_id: str
    question: str
    steps: tuple[str, ...]
    labels: tuple[bool, ...]


Row = Sample | Pair | Steps
ROW_OF: dict[str, type[Sample] | type[Pair] | type[Steps]] = {"sft": Sample, "dpo": Pair, "prm": Steps, "grpo": Sample}
"""Method -> what it trains on."""


class Job(Frozen):
    """One training, as its process reads it from a file. Paths are local."""

    name: str = "training"
    """What it is called where its metrics go."""
    method: Method = "sft"
    base: str
    base_name: str = ""
    """What the recipe calls the base's weights: a name, a hub id, a URL."""
    data: str
    """JSONL file of Samples, Pairs or Steps, as the method asks."""
    output: str
    """Folder for the final model."""
    checkpoints: str
    """Folder that outlives attempts: the next one goes on from its newest complete checkpoint."""
    mirror: str | None = None
    """fsspec URL to which checkpoints are copied as well; None where `checkpoints` is already seen by every worker."""
    epochs: float
    train_tokens: int | None = None
    """Train on at least so many tokens, whatever `epochs` says."""
    learning_rate: float
    batch_size: int
    micro_batch_size: int | None = None
    max_length: int
    packing: bool = False
    lora: Lora | None = None
    gradient_checkpointing: bool | None = None
    beta: float | None = None
    generations: int = 8
    rollout: Sampling = Sampling(temperature=1.0, max_tokens=256)
    accelerate: str | None = None
    warmup_share: float
    save_steps: int
    processes: int = 1
    seed: int


class Started(Frozen):
    """The data is read and the first step is about to run."""

    event: Literal["started"] = "started"
    samples: int
    too_long: int
    """Samples left out because they, or what stands beside them, are longer than `max_length`."""
    unfit: int = 0
    """Samples left out because an answer holds the end of a turn itself."""
    steps: int
    train_tokens: int | None
    """Of all steps; None where they come from the model (grpo)."""
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
    memory_gib: float
    """The most that this process has held so far: of the device's memory on a GPU, of the machine's on a CPU."""
    figures: dict[str, float] = {}
    """What else the method tells of the step: reward margins of pairs, mean reward of rollouts ..."""


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
    train_tokens: int
    """Prompt and completion tokens of all steps, those of earlier attempts included."""
    loss: float
    """Mean over the last tenth of the steps (nats per loss token)."""
    seconds: float
    """From the first step to the last, of all attempts (steps that were lost with a killed one are not in it)."""
    tokens_per_second: float


class Refused(Frozen):
    """The model or the data cannot work: no retry will help."""

    event: Literal["refused"] = "refused"
    message: str


class Failed(Frozen):
    """The machine was at fault, in words: a retry may help."""

    event: Literal["failed"] = "failed"
    message: str


R = TypeVar("R", Sample, Pair, Steps)
Event = Annotated[Started | Step | Saved | Stopped | Done | Refused | Failed, Field(discriminator="event")]
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def parse_event(line: bytes) -> Event | None:
    """The event that a line of the process's stdout holds; None for what a library printed there."""
    return _EVENT.validate_json(line) if line.startswith(b'{"event":') else None


def fingerprint(stage: TrainStage, base: str, rows: Sequence[Row], budget: int | None = None) -> str:
    """Names what is trained: a checkpoint may only be resumed by the same training."""
    digest = hashlib.sha256(f"{stage.model_dump_json()}{base}{budget}".encode())
    for row in rows:
        digest.update(row.model_dump_json().encode())
    return digest.hexdigest()[:16]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """One JSON object a line."""
    path.write_text("".join(f"{row.model_dump_json()}\n" for row in rows), encoding="utf-8")


def read_rows(path: Path, kind: type[R]) -> list[R]:
    """The inverse of `write_rows`."""
    with path.open("rb") as lines:  # of text, `splitlines` would break rows at line separators within their strings, too
        return [kind.model_validate_json(line) for line in lines]
