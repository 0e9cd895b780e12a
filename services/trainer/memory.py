"""Memory of a training on a CPU.

glibc is told to keep what it has (`launch.py` says why), and batches of ever other lengths leave ever other holes in it: a training
of SmolLM2-135M grew from 6.6 to 9.3 GB within 40 steps. Holes are given back now and then; their pages come again when needed.
"""

import ctypes
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

EVERY = 10
"""Steps."""


class GivesBack(TrainerCallback):  # type: ignore[misc]
    """Gives the C library's free memory back to the system, every few steps. Does nothing where that library is not glibc."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After a step's gradients are gone."""
        if state.global_step % EVERY == 0:
            give_back()


def give_back() -> None:
    """https://man7.org/linux/man-pages/man3/malloc_trim.3.html: whole free pages, wherever in the heap they lie."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
