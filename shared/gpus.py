"""The GPUs of this machine, asked without a library that would take hold of them."""

import os
from pathlib import Path

NODES = Path("/dev")
"""Holds a node `nvidia0`, `nvidia1`, ... for every GPU."""


def visible_gpus() -> list[str]:
    """The NVIDIA GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them: what it says, or else all that are there."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = [str(number) for number, _ in enumerate(NODES.glob("nvidia[0-9]*"))]
    return [name.strip() for name in told.split(",") if name.strip()] if told is not None and there else there
