"""Keeps the parts of one machine running: starts them in order, restarts what dies, stops them in waves, leaves no orphan.

It knows nothing of what the parts do. Each runs in a process group of its own and carries a mark in its environment; when the
supervisor dies in whatever way, a watchdog at the other end of a pipe ends everything that carries the mark.
"""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.cli import watchdog

LOG_LIMIT = 20 * 1024 * 1024
"""Bytes after which a part's log is rotated: one older file is kept."""
STABLE_SECONDS = 60.0
"""A part that ran so long starts again at once when it dies; one that keeps dying waits twice as long each time."""
LONGEST_WAIT = 10.0


@dataclass
class Part:
    """One process to keep running."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the common environment."""
    ready: Callable[[], Awaitable[bool]] | None = None
    """Whether it answers."""
    gate: bool = False
    """The parts after it start only when it is ready."""
    folder: Path | None = None
    """Made anew before every start: it may have been deleted meanwhile."""
    wave: int = 0
    """When stopping, low waves go first."""
    grace: float = 15.0
    """Seconds from SIGTERM to SIGKILL."""

    process: asyncio.subprocess.Process | None = field(default=None, init=False)
    starts: int = field(default=0, init=False)
    failures: int = field(default=0, init=False)
    """Deaths in a row, each within a minute of its start."""
    last_exit: int | None = field(default=None, init=False)

    @property
    def running(self) -> bool:
        """Whether its process is alive, as far as is known."""
        return self.pid is not None

    @property
    def pid(self) -> int | None:
        """Its process's number while it runs, which is also its group's."""
        return self.process.pid if self.process and self.process.returncode is None else None


class Supervisor:
    """Runs parts until told to stop. `told` hears (part, what happened) in words, `changed` is called when pids changed."""

    def __init__(
        self,
        parts: Sequence[Part],
        logs: Path,
        mark: str,
        env: Mapping[str, str],
        told: Callable[[Part, str], None] = lambda part, what: None,
        changed: Callable[[], None] = lambda: None,
        first_wait: float = 0.5,
    ) -> None:
        self.parts = list(parts)
        self._logs = logs
        # process titles (Celery's, vLLM's) would overwrite the environment that the mark is read from
        self._env = {**env, watchdog.VARIABLE: mark, "SPT_NOENV": "1"}
        self._mark = mark
        self._told = told
        self._changed = changed
        self._first_wait = first_wait
        self._keepers: list[asyncio.Task[None]] = []
        self._watchdog: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Starts all parts in order, and returns when all are ready. Never gives up: cancel it to do so."""
        self._logs.mkdir(parents=True, exist_ok=True)
        self._keepers.append(asyncio.create_task(self._keep_watchdog()))
        for part in self.parts:
            rotate(self.log_path(part))
            self._keepers.append(asyncio.create_task(self._keep(part)))
            if part.gate:
                await _ready(part)
        await asyncio.gather(*(_ready(part) for part in self.parts))

    async def stop(self) -> None:
        """SIGTERM wave by wave, SIGKILL for what outlasts its grace, then whatever else carries the mark."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for wave in sorted({part.wave for part in self.parts}):
            await asyncio.gather(*(self._end(part) for part in self.parts if part.wave == wave))
        await asyncio.to_thread(watchdog.kill_marked, self._mark)
        if self._watchdog and self._watchdog.returncode is None:
            self._watchdog.kill()
            await self._watchdog.wait()
        self._changed()

    def log_tail(self, part: Part, lines: int = 20) -> str:
        """The last lines of a part's log; '' if there is none."""
        path = self.log_path(part)
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def log_path(self, part: Part) -> Path:
        """Where a part's output goes."""
        return self._logs / f"{part.name}.log"

    async def _keep(self, part: Part) -> None:
        while True:
            began = time.monotonic()
            try:
                part.process = await self._spawn(part)
                part.starts += 1
                self._changed()
                part.last_exit = await self._watch(part)
                what = describe_exit(part.last_exit)
                _signal_group(part, signal.SIGKILL)  # children that outlived it
            except OSError as error:  # no such program, a full disk
                what = f"could not start: {error}"
            part.failures = part.failures + 1 if time.monotonic() - began < STABLE_SECONDS else 1
            wait = min(self._first_wait * 2 ** (part.failures - 1), LONGEST_WAIT)
            self._told(part, f"{what}; starting it again in {wait:g} s")
            self._changed()
            await asyncio.sleep(wait)

    async def _spawn(self, part: Part) -> asyncio.subprocess.Process:
        if part.folder:
            part.folder.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        with self.log_path(part).open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *part.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self._env, **part.env},
                start_new_session=True,
            )

    async def _watch(self, part: Part) -> int:
        """Waits for a part's death; now and then looks at the size of its log."""
        assert part.process is not None
        ended = asyncio.ensure_future(part.process.wait())
        try:
            while True:
                done, _ = await asyncio.wait({ended}, timeout=30)
                if done:
                    return ended.result()
                if (log := self.log_path(part)).exists() and log.stat().st_size > LOG_LIMIT:
                    rotate(log)
        finally:
            ended.cancel()

    async def _keep_watchdog(self) -> None:
        while True:
            self._watchdog = await asyncio.create_subprocess_exec(
                *watchdog.command(self._mark), stdin=asyncio.subprocess.PIPE, start_new_session=True
            )
            await self._watchdog.wait()

    async def _end(self, part: Part) -> None:
        process = part.process
        if process is None:
            return
        if process.returncode is None:
            self._told(part, "stopping")
            _signal_group(part, signal.SIGTERM, leader_only=True)
            try:
                await asyncio.wait_for(process.wait(), part.grace)
            except TimeoutError:
                self._told(part, f"did not stop within {part.grace:g} s: killed")
        _signal_group(part, signal.SIGKILL)
        part.last_exit = await process.wait()


async def _ready(part: Part) -> None:
    while not (part.running and (part.ready is None or await part.ready())):
        await asyncio.sleep(0.1)


def _signal_group(part: Part, number: signal.Signals, leader_only: bool = False) -> None:
    """Signals a part (`leader_only`: it tells its own children) or its whole process group; what is gone is no matter."""
    assert part.process is not None
    try:
        (os.kill if leader_only else os.killpg)(part.process.pid, number)
    except ProcessLookupError:
        return


def rotate(log: Path) -> None:
    """Copies a log to NAME.log.1 and empties it: whoever appends to it goes on appending."""
    if log.exists() and log.stat().st_size:
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)


def describe_exit(code: int) -> str:
    """An exit status in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"was killed by {name}"


def python(module: str, *arguments: str) -> list[str]:
    """A module under this very interpreter. -P: a folder `shared` where somebody happens to stand is not taken for ours."""
    return [sys.executable, "-P", "-m", module, *arguments]
