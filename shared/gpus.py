"""The GPUs of this machine, asked without a library that would take hold of them."""

import os
from itertools import takewhile
from pathlib import Path

NODES = Path("/dev")
"""Holds a node `nvidia0`, `nvidia1`, ... for every GPU."""


def visible_gpus() -> list[str]:
    """The NVIDIA GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them (up to one that is none, as CUDA reads it: `-1`
    hides all that follow), or else all that are there.
    """
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = [str(number) for number, _ in enumerate(NODES.glob("nvidia[0-9]*"))]
    if told is None or not there:
        return there
    return list(takewhile(lambda name: name and not name.startswith("-"), (name.strip() for name in told.split(","))))
