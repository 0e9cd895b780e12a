"""Figures and checkpoints of a running training, as events for the worker; and the stop that a signal asks for."""

import math
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from services.trainer.checkpoints import clear, mark_complete, mirror_checkpoint
from services.trainer.data import DataError
from services.trainer.job import Event, Job, Saved, Step
from services.trainer.stopping import Stopping

SECONDS = "seconds_of_all_attempts"
"""Key of a log entry of the trainer's state, which a checkpoint holds."""


class Reporter(TrainerCallback):  # type: ignore[misc]
    """Tells the worker of steps and checkpoints (first process only), and stops the training when told to (every process)."""

    def __init__(
        self,
        tokens: Sequence[int] | None,
        epochs: float,
        stopping: Stopping,
        job: Job,
        figures: Sequence[str],
        tell: Callable[[Event], None],
    ) -> None:
        """`tokens[n]`: tokens of step n over all processes; None: the trainer counts them, for they come from the model.
        `figures`: keys of the log to tell of.
        """
        self._tokens = tokens
        self._epochs = epochs
        self._stopping = stopping
        self._checkpoints = Path(job.checkpoints)
        self._mirror = job.mirror
        self._figures = figures
        self._tell = tell
        self._first = self._seen = 0
        self._began = time.monotonic()
        self._earlier = 0.0
        self.stopped = False

    @property
    def seconds(self) -> float:
        """Of all attempts, up to now; steps that were lost with a killed one are not in it."""
        return self._earlier + time.monotonic() - self._began

    def tokens_per_second(self, state: TrainerState) -> float:
        """Over this attempt's steps."""
        trained = sum(self._tokens[self._first : state.global_step]) if self._tokens else state.num_input_tokens_seen - self._seen
        return float(trained / max(time.monotonic() - self._began, 1e-9))

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Starts the clock; of a training that goes on, where its checkpoint's stood."""
        self._first, self._seen = state.global_step, state.num_input_tokens_seen
        self._earlier = next((entry[SECONDS] for entry in reversed(state.log_history) if SECONDS in entry), 0.0)
        self._began = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Asks for a checkpoint and the end, if told to stop before the last step."""
        if self._stopping.everywhere() and state.global_step < state.max_steps:
            self.stopped = control.should_save = control.should_training_stop = True

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float], **kwargs: Any
    ) -> None:
        """Tells of the step just taken. Raises DataError if the loss is no number any more."""
        if not math.isfinite(logs.get("loss", 0.0)):
            raise DataError(f"the loss became {logs['loss']} in step {state.global_step}: the learning rate is too high")
        if "loss" in logs:
            state.log_history[-1][SECONDS] = round(self.seconds, 3)  # saved with the next checkpoint
        if state.is_world_process_zero and "loss" in logs:
            self._tell(
                Step(
                    step=state.global_step,
                    of=state.max_steps,
                    epoch=round(state.global_step / state.max_steps * self._epochs, 3),
                    loss=float(logs["loss"]),
                    learning_rate=logs["learning_rate"],
                    tokens_per_second=round(self.tokens_per_second(state), 1),
                    memory_gib=round(memory_gib(), 2),
                    figures={key: round(value, 4) for key in self._figures if (value := _number(logs.get(key))) is not None},
                )
            )

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Copies the checkpoint to the mirror, if there is one, declares it complete, and deletes the older ones."""
        PartialState().wait_for_everyone()  # each process writes a part of it
        if not state.is_world_process_zero:
            return
        folder = self._checkpoints / f"checkpoint-{state.global_step}"
        if self._mirror:
            mirror_checkpoint(folder, self._mirror)
        mark_complete(folder)
        clear(self._checkpoints, keep=folder)
        self._tell(Saved(step=state.global_step))


def _number(value: Any) -> float | None:
    """A figure that says something: a step in which no answer could be graded has no mean reward."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def memory_gib() -> float:
    """The most that this process has held: of its GPU's memory, or of the machine's."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated() / 2**30)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts KiB


def mean_loss(history: list[dict[str, float]]) -> float:
    """Mean over the last tenth of the logged steps."""
    losses = [entry["loss"] for entry in history if "loss" in entry]
    tail = losses[-max(1, len(losses) // 10) :]
    return sum(tail) / len(tail)
