"""`longthought up` and `down`: with parts of straw, and once for real (no engine starts, as there is no run)."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli import up, watchdog
from services.cli.folder import Folder, free_port
from services.cli.main import app
from services.cli.supervisor import Part, python


def longthought(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def straw(monkeypatch: pytest.MonkeyPatch, *table: Part) -> None:
    monkeypatch.setattr(up, "parts", lambda *_: list(table))


def test_a_part_that_keeps_dying_ends_the_start_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "HOPELESS_AFTER", 2)

    async def never() -> bool:
        return False

    broken = Part("broken", [sys.executable, "-c", "raise SystemExit('no such module: x')"], ready=never)
    straw(monkeypatch, Part("quiet", ["sleep", "1000"]), broken)
    result = longthought("up", "--data", str(tmp_path), "--port", str(free_port(0)))
    assert result.exit_code == 1
    assert "Part `broken` keeps dying" in result.stderr
    assert "no such module: x" in result.stderr
    assert watchdog.marked(Folder(tmp_path).mark) == []


def test_sigterm_stops_everything_and_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def then_sigterm() -> bool:
        asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), signal.SIGTERM)
        return True

    straw(monkeypatch, Part("quiet", ["sleep", "1000"], ready=then_sigterm))
    result = longthought("up", "--data", str(tmp_path), "--port", str(free_port(0)))
    assert result.exit_code == 0, result.stderr
    assert "Stopped." in result.stderr
    assert Folder(tmp_path).state()["ready"] is False
    assert watchdog.marked(Folder(tmp_path).mark) == []


def test_a_taken_port_is_a_clear_error(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        result = longthought("up", "--data", str(tmp_path), "--port", str(other.getsockname()[1]))
    assert result.exit_code == 2
    assert "choose another with --port" in result.stderr


def test_down_where_nothing_runs_says_so(tmp_path: Path) -> None:
    result = longthought("down", "--data", str(tmp_path))
    assert result.exit_code == 0
    assert "Nothing runs" in result.stderr


@pytest.mark.system
@pytest.mark.timeout(300)
def test_the_real_thing_starts_refuses_a_second_and_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data")
    words = python("services.cli.main", "up", "--data", str(folder.path), "--port", str(free_port(0)), "--detach")
    for kill_it in (True, False):
        assert subprocess.run(words, check=False).returncode == 0
        state = folder.state()
        pids = {part["pid"] for part in state["parts"].values()}
        assert len(pids) == 7
        assert pids <= set(watchdog.marked(folder.mark))
        assert subprocess.run(words, check=False).returncode == 2
        if kill_it:
            os.kill(state["pid"], signal.SIGKILL)
            while watchdog.marked(folder.mark):  # a failure is a timeout of the test
                os.sched_yield()
        else:
            env = {**os.environ, "LONGTHOUGHT_URL": state["url"], "LONGTHOUGHT_API_KEY": folder.key()}
            subprocess.run(python("services.cli.main", "queues"), env=env, check=True)
            assert longthought("down", "--data", str(folder.path)).exit_code == 0
            assert watchdog.marked(folder.mark) == []
