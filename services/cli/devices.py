"""The devices of one machine: what an engine or a training takes for itself.

By default the whole machine is one. With several, each has its own engine and its own training at a time: one GPU each, or an equal
part of the cores. Small models waste cores that they share: on two cores, SmolLM2-135M trained at 276 tokens a second on both of
them, and at 386 in two trainings of one core each; it sampled at 545 and at 661.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.gpus import visible_gpus


@dataclass(frozen=True)
class Device:
    """One device, as its worker processes are told of it."""

    suffix: str = ""
    """Behind the names of its processes."""
    arguments: Sequence[str] = ()
    """Of `shared.work.worker`."""
    env: Mapping[str, str] = field(default_factory=lambda: {"LONGTHOUGHT_DEVICE": "local"})


WHOLE = Device()
"""The machine as one device."""


def devices(count: int) -> list[Device]:
    """The machine's GPUs where it has some, or else its cores, as so many devices. Raises ValueError if there are fewer."""
    if count == 1:
        return [WHOLE]
    if gpus := visible_gpus():
        if len(gpus) < count:
            raise ValueError(f"--devices: {count} devices need as many GPUs, and there are {len(gpus)}: {', '.join(gpus)}")
        return [Device(f"-{n}", (), {**_name(n), "CUDA_VISIBLE_DEVICES": gpus[n]}) for n in range(count)]
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < count:
        raise ValueError(f"--devices: {count} devices need as many cores, and there are {len(cores)}")
    parts = [cores[len(cores) * n // count : len(cores) * (n + 1) // count] for n in range(count)]
    return [Device(f"-{n}", ("--cpus", ",".join(map(str, part))), _name(n)) for n, part in enumerate(parts)]


def _name(number: int) -> dict[str, str]:
    return {"LONGTHOUGHT_DEVICE": f"local-{number}"}
