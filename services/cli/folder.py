"""The data folder of `longthought up`: who holds it, which ports and pids it has, and the key its clients use."""

import fcntl
import json
import os
import secrets
import shlex
import socket
from pathlib import Path
from typing import IO, Any


class Folder:
    """`DIR` of `longthought up --data DIR`. The holder of the lock on `DIR/up.lock` is the `up` that runs there."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.logs = self.path / "logs"
        self.state_file = self.path / "up.json"
        self.client_env = self.path / "client.env"
        self._lock_file = self.path / "up.lock"
        self._held: IO[str] | None = None

    def hold(self) -> int | None:
        """Takes the folder for this process, until it ends. Returns None, or the pid of the `up` that has it already."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._held = self._lock_file.open("a+")
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._held.close()
            return self.holder() or 0
        self._held.truncate(0)
        self._held.write(str(os.getpid()))
        self._held.flush()
        return None

    def holder(self) -> int | None:
        """Pid of the `up` that runs on this folder (0: it has not written it yet); None if there is none."""
        if not self._lock_file.exists():
            return None
        with self._lock_file.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = file.read()
                return int(text) if text.isdigit() else 0
        return None

    @property
    def mark(self) -> str:
        """What the marks of all parts of this folder begin with (watchdog.py)."""
        return f"{self.path}#"

    def state(self) -> dict[str, Any]:
        """What the running (or last) `up` wrote of itself; {} if nothing."""
        try:
            found: dict[str, Any] = json.loads(self.state_file.read_text())
        except FileNotFoundError:
            return {}
        return found

    def write_state(self, state: dict[str, Any]) -> None:
        """Replaces the state file in one move: readers see a whole one."""
        self.path.mkdir(parents=True, exist_ok=True)
        fresh = self.state_file.with_suffix(".json.new")
        fresh.write_text(json.dumps(state, indent=2) + "\n")
        fresh.replace(self.state_file)

    def key(self) -> str:
        """The API key of this folder: the one it had, or a fresh one."""
        if self.client_env.exists():
            for line in self.client_env.read_text().splitlines():
                name, _, value = line.removeprefix("export ").partition("=")
                if name == "LONGTHOUGHT_API_KEY" and value:
                    return shlex.split(value)[0]
        return f"lt-{secrets.token_urlsafe(32)}"

    def write_client_env(self, url: str, key: str) -> None:
        """Writes `client.env` for `source`, readable by its owner alone."""
        text = f"export LONGTHOUGHT_URL={shlex.quote(url)}\nexport LONGTHOUGHT_API_KEY={shlex.quote(key)}\n"
        fresh = self.client_env.with_suffix(".env.new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        fresh.replace(self.client_env)


def port_is_free(port: int) -> bool:
    """Whether one can listen on 127.0.0.1 there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(preferred: int, *taken: int) -> int:
    """The preferred port if it is free (and not among `taken`), else any free one; 0: no preference."""
    if preferred and preferred not in taken and port_is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
