"""Figures and checkpoints of a running training, as events for the worker; and the stop that a signal asks for."""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from services.trainer.checkpoints import mark_complete, mirror_checkpoint
from services.trainer.job import Event, Saved, Step
from services.trainer.stopping import Stopping


class Reporter(TrainerCallback):  # type: ignore[misc]
    """Tells the worker of steps and checkpoints (first process only), and stops the training when told to (every process)."""

    def __init__(
        self,
        tokens: list[int],
        epochs: float,
        stopping: Stopping,
        checkpoints: Path,
        mirror: str | None,
        tell: Callable[[Event], None],
    ) -> None:
        """`tokens[n]`: tokens of step n over all processes."""
        self._tokens = tokens
        self._epochs = epochs
        self._stopping = stopping
        self._checkpoints = checkpoints
        self._mirror = mirror
        self._tell = tell
        self._first = 0
        self._began = time.monotonic()
        self.stopped = False

    @property
    def seconds(self) -> float:
        """Since this attempt's first step began."""
        return time.monotonic() - self._began

    def tokens_per_second(self, step: int) -> float:
        """Over this attempt's steps."""
        return sum(self._tokens[self._first : step]) / max(self.seconds, 1e-9)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Starts the clock."""
        self._first = state.global_step
        self._began = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Asks for a checkpoint and the end, if told to stop before the last step."""
        if self._stopping.everywhere() and state.global_step < state.max_steps:
            self.stopped = control.should_save = control.should_training_stop = True

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float], **kwargs: Any
    ) -> None:
        """Tells of the step just taken."""
        if state.is_world_process_zero and "loss" in logs:
            self._tell(
                Step(
                    step=state.global_step,
                    of=state.max_steps,
                    epoch=round(state.global_step / state.max_steps * self._epochs, 3),
                    loss=float(logs["loss"]),
                    learning_rate=logs["learning_rate"],
                    tokens_per_second=round(self.tokens_per_second(state.global_step), 1),
                )
            )

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Copies the checkpoint to the mirror, if there is one, and declares it complete."""
        if not state.is_world_process_zero:
            return
        folder = self._checkpoints / f"checkpoint-{state.global_step}"
        if self._mirror:
            mirror_checkpoint(folder, self._mirror)
        mark_complete(folder)
        self._tell(Saved(step=state.global_step))


def mean_loss(history: list[dict[str, float]]) -> float:
    """Mean over the last tenth of the logged steps. Raises ValueError if a loss is no number: the training diverged."""
    losses = [entry["loss"] for entry in history if "loss" in entry]
    tail = losses[-max(1, len(losses) // 10) :]
    mean = sum(tail) / len(tail)
    if not math.isfinite(mean):
        raise ValueError(f"the loss became {mean}: the learning rate is too high (losses: {json.dumps(losses[-20:])})")
    return mean
