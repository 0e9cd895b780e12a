"""Memory that a training on a CPU gives back: the C library's own, under the environment that trainings get."""

import os
import subprocess
import sys
from pathlib import Path

from services.trainer.launch import ON_CPU

HOLES = """
import torch
from services.trainer.memory import give_back

def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

kept = []
for _ in range(200):
    large = torch.ones(2**18)  # 1 MiB between two that stay
    kept.append((torch.ones(1000), large))
full = held()
kept = [small for small, _ in kept]
del large
holes = held()
give_back()
print(full - holes, holes - held())
"""


def test_holes_between_what_is_kept_are_given_back():
    environment = {**os.environ, **ON_CPU}
    command = [sys.executable, "-c", HOLES]
    run = subprocess.run(command, env=environment, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True)
    kept, given_back = map(float, run.stdout.split())
    assert kept < 20, "freed memory stays with the process by itself"
    assert given_back > 150
