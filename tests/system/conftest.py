"""The real thing: `longthought up` with Valkey, SQLite, workers and a real vLLM with SmolLM2, driven as its users drive it."""

import json
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

LONGEST = 600.0
"""Seconds after which a wait has failed: a bound on a hang, not a demand on speed."""


class Stack:
    """A running `longthought up` and the command line beside it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.env = {**os.environ, "NO_COLOR": "1"}

    def cli(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs one `longthought` command."""
        command = [sys.executable, "-m", "services.cli.main", *words]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=LONGEST, check=False)
        assert not check or done.returncode == 0, f"{shlex.join(words)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def start(self) -> None:
        self.cli("up", "--data", str(self.folder), "--port", str(self.port), "--detach")
        for line in (self.folder / "client.env").read_text().splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            self.env[name] = shlex.split(value)[0]

    def get(self, path: str, **query: Any) -> Any:
        """GET of the API, as JSON."""
        url, key = self.env["LONGTHOUGHT_URL"], self.env["LONGTHOUGHT_API_KEY"]
        answer = httpx.get(f"{url}{path}", params=query, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def records(self, run: str, stage: str, kind: str) -> list[dict[str, Any]]:
        """All records of a stage and kind, page by page."""
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = self.get(f"/v1/runs/{run}/records", stage=stage, kind=kind, limit=100, **({"cursor": cursor} if cursor else {}))
            found += page["records"]
            cursor = page["next"]
            if cursor is None:
                return found

    def status(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.cli("status", run, "--json").stdout)
        return found

    def wait(self, run: str, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Asks for the run's status until it is as wanted."""
        until = time.monotonic() + LONGEST
        while time.monotonic() < until:
            status = self.status(run)
            if reached(status):
                return status
            assert status["state"] not in ("failed", "rejected", "cancelled"), status
            time.sleep(0.5)
        raise AssertionError(f"still not reached: {self.status(run)}")

    def part(self, name: str) -> psutil.Process:
        """The process of a part: its pid is new after each of its deaths."""
        state = json.loads((self.folder / "up.json").read_text())
        return psutil.Process(state["parts"][name]["pid"])

    def processes(self) -> list[psutil.Process]:
        """Everything alive that was started for this folder."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and str(self.folder) in " ".join(process.environ().values()):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue  # ended while we looked
        return [process for process in found if process.pid != os.getpid()]

    def recipe(self, folder: Path, **changes: Any) -> Path:
        """Writes a recipe file."""
        path = folder / "recipe.yaml"
        path.write_text(yaml.safe_dump(changes, sort_keys=False))
        return path


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = Stack(tmp_path_factory.mktemp("stack"), port)
    made.start()
    yield made
    made.cli("down", "--data", str(made.folder))
    assert not made.processes(), "processes outlived `longthought down`"
