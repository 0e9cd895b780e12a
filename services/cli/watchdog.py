"""Ends every process that carries a mark in its environment, once the pipe on its stdin closes: so `kill -9` leaves no orphan.

Run as a script, on the standard library alone, to stay small: `python watchdog.py MARK`. The mark also finds what has left its
part's process group (an engine in a session of its own, say). Reads Linux's /proc.
"""

import os
import signal
import sys
import time
from pathlib import Path

VARIABLE = "LONGTHOUGHT_UP"


def command(mark: str) -> list[str]:
    """The command line of a watchdog. Give it a pipe as stdin, and a session of its own."""
    return [sys.executable, "-S", "-E", __file__, mark]


def marked(mark: str) -> list[int]:
    """Pids of living processes whose mark begins with `mark`."""
    wanted = f"{VARIABLE}={mark}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            entries = (folder / "environ").read_bytes().split(b"\0")
            zombie = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # gone meanwhile, or somebody else's
        if not zombie and any(entry.startswith(wanted) for entry in entries):
            found.append(int(folder.name))
    return found


def kill_marked(mark: str, seconds: float = 10.0) -> None:
    """SIGKILLs all that carry the mark, until none is left. Raises TimeoutError if some will not die."""
    until = time.monotonic() + seconds
    while pids := marked(mark):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > until:
            raise TimeoutError(f"processes {pids} survive SIGKILL")
        time.sleep(0.05)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    kill_marked(sys.argv[1])
