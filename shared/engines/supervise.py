"""A supervisor between a worker and a child that must not outlive it:

    python -m shared.engines.supervise [--grace SECONDS] -- COMMAND...

The worker holds the write end of a pipe that is the supervisor's stdin. When the worker ends in any way, `kill -9` included, the
pipe closes, and the supervisor ends the command and all its descendants: SIGTERM, and after `--grace` seconds SIGKILL. The same
happens on SIGTERM to the supervisor, and to what is left when the command ends by itself. It exits with the command's code
(128 + n for signal n).

Two processes watch, each over the other, so that a `kill -9` of either ends the command too:

    worker ──pipe──► outer ──► inner ──► command (a session of its own) ──► descendants

Both are "child subreapers": descendants whose parent died become their children, so none escapes by starting a session. Standard
library only, for it must start at once; Linux only (prctl, /proc).
"""

import argparse
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
LOOK_SECONDS = 0.2
GRACE_SECONDS = 5.0


def supervised(command: Sequence[str], grace: float = GRACE_SECONDS) -> list[str]:
    """The command line that runs `command` under a supervisor.

    Start it with stdin=PIPE and start_new_session=True, and keep the pipe open for as long as the command shall live.
    """
    return [sys.executable, "-m", "shared.engines.supervise", "--grace", str(grace), "--", *command]


def descendants(pid: int) -> list[int]:
    """All living processes below `pid`, parents before children."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # "pid (name) state ppid ...": the name may hold anything, ")" included
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # ended while we looked
        if state != "Z":
            children.setdefault(int(parent), []).append(int(folder.name))
    found = [pid]
    for one in found:
        found.extend(children.get(one, []))
    return found[1:]


class Watch:
    """One of the two watchers: over the pipe, its parent, and its child."""

    def __init__(self, grace: float, parent: int) -> None:
        self._grace = grace
        self._parent = parent
        self._asked = False
        self._code: int | None = None
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the worker's affair, and its end is ours

    def _ask(self, number: int, frame: object) -> None:
        self._asked = True

    def over(self, child: int, end: Callable[[], None]) -> int:
        """Waits until the child ends or must end; then sees that nothing is left, and returns the child's exit code.

        `end` asks the child to end.
        """
        while self._code is None and not self._asked and os.getppid() == self._parent and not _closed(sys.stdin.fileno()):
            self._reap(child)
        if self._code is None:
            end()
        told, deadline = False, time.monotonic() + self._grace
        while time.monotonic() < deadline and (self._code is None or descendants(os.getpid())):
            if self._code is not None and not told:
                _signal(descendants(os.getpid()), signal.SIGTERM)  # what the child left behind
                told = True
            self._reap(child)
            time.sleep(LOOK_SECONDS / 4)
        while left := descendants(os.getpid()):  # what is killed may leave children to us, its subreaper
            _signal(left, signal.SIGKILL)
            self._reap(child)
            time.sleep(LOOK_SECONDS / 4)
        self._reap(child)
        return 128 + signal.SIGKILL if self._code is None else self._code

    def _reap(self, child: int) -> None:
        """Buries all that ended; keeps the child's exit code."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                self._code = code if code >= 0 else 128 - code


def _closed(pipe: int) -> bool:
    """Whether the other end of the pipe was closed; waits a moment for it."""
    readable, _, _ = select.select([pipe], [], [], LOOK_SECONDS)
    return bool(readable) and os.read(pipe, 1024) == b""


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")


def _signal(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue  # ended by itself


def _inner(command: Sequence[str], grace: float, outer: int) -> int:
    """Runs the command in a session of its own."""
    watch = Watch(grace, outer)
    me = os.getpid()
    child = os.fork()
    if child == 0:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # should both watchers be killed at one time
        if os.getppid() != me:
            os._exit(128 + signal.SIGKILL)  # they were, already
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        try:
            os.execvp(command[0], list(command))
        except OSError as error:
            print(f"{command[0]}: {error}", file=sys.stderr, flush=True)
            os._exit(127)

    def end() -> None:
        try:
            os.killpg(child, signal.SIGTERM)
        except ProcessLookupError:
            _signal([child], signal.SIGTERM)  # it has not made its session yet

    return watch.over(child, end)


def main() -> int:
    """The outer watcher: runs the inner one."""
    parser = argparse.ArgumentParser(description="Runs a command that ends when stdin closes.")
    parser.add_argument("--grace", type=float, default=GRACE_SECONDS, help="seconds between SIGTERM and SIGKILL")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    watch = Watch(arguments.grace + 2.0, os.getppid())  # the inner one goes first
    me = os.getpid()
    inner = os.fork()
    if inner == 0:
        os.setsid()  # whoever kills our process group leaves it alive
        os._exit(_inner(arguments.command, arguments.grace, me))
    return watch.over(inner, lambda: _signal([inner], signal.SIGTERM))


if __name__ == "__main__":
    sys.exit(main())
