"""Waiting for processes to come and go, by polling with a generous end."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import psutil

END_SECONDS = 30.0


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + END_SECONDS
    while not true():
        assert time.monotonic() < end, f"did not come true: {what}"
        time.sleep(0.02)


async def soon(true: Callable[[], object], what: str) -> None:
    await asyncio.to_thread(until, true, what)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def written_pids(file: Path, count: int) -> list[int]:
    """The pids that a file holds, one a line, once there are so many."""
    until(lambda: file.exists() and file.read_text().count("\n") >= count, f"{count} pids in {file}")
    return [int(line) for line in file.read_text().split()]
