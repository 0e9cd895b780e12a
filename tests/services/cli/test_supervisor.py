"""The supervisor with small real processes: restarts, order of stopping, nothing left behind whatever is killed."""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli import watchdog
from services.cli.supervisor import Part, Supervisor, describe_exit, rotate

QUIET = "import signal; signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
WITH_CHILDREN = """
import signal, subprocess, sys
for apart in (False, True):
    subprocess.Popen([sys.executable, "-S", "-c", "import signal; signal.pause()"], start_new_session=apart)
print("children", flush=True)
signal.pause()
"""
LAST_WORDS = """
import pathlib, signal, sys
def stop(*_):
    with open(sys.argv[1], "a") as file:
        file.write(sys.argv[2] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("listening", flush=True)
while True:
    signal.pause()
"""


def command(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-S", "-c", code, *arguments]


def says(log: Path, word: str):
    """A readiness check: the part has printed a word."""

    async def ready() -> bool:
        return log.exists() and word in log.read_text()

    return ready


async def until(condition) -> None:
    while not condition():
        await asyncio.sleep(0.01)


@pytest.fixture
def mark():
    mark = f"test-{secrets.token_hex(8)}"
    yield mark
    watchdog.kill_marked(mark)


def supervise(parts: list[Part], folder: Path, mark: str, told: list[str] | None = None) -> Supervisor:
    heard = told if told is not None else []
    return Supervisor(parts, folder, mark, os.environ, lambda part, what: heard.append(f"{part.name}: {what}"), first_wait=0.01)


async def test_a_part_that_dies_is_started_again_in_its_folder_and_its_children_are_ended(tmp_path: Path, mark: str) -> None:
    log = tmp_path / "logs" / "busy.log"
    told: list[str] = []
    folder = tmp_path / "data"
    part = Part("busy", command(WITH_CHILDREN), ready=says(log, "children"), folder=folder)
    supervisor = supervise([part], tmp_path / "logs", mark, told)
    await supervisor.start()
    assert part.process
    first = part.process.pid
    in_group = [pid for pid in watchdog.marked(mark) if os.getpgid(pid) == first]
    assert len(in_group) == 2

    shutil.rmtree(folder)
    os.kill(first, signal.SIGKILL)
    await until(lambda: part.starts == 2 and part.process and part.process.pid != first)
    assert folder.is_dir()
    assert "busy: was killed by SIGKILL; starting it again in 0.01 s" in told
    await until(lambda: not set(in_group) & set(watchdog.marked(mark)))
    await supervisor.stop()
    assert watchdog.marked(mark) == []


async def test_parts_start_in_order_and_stop_in_waves(tmp_path: Path, mark: str) -> None:
    words, logs = tmp_path / "words", tmp_path / "logs"
    parts = [
        Part(name, command(LAST_WORDS, str(words), name), ready=says(logs / f"{name}.log", "listening"), gate=True, wave=wave)
        for name, wave in (("database", 2), ("server", 1), ("worker", 0))
    ]
    supervisor = supervise(parts, logs, mark)
    await supervisor.start()
    assert all(part.running for part in parts)
    await supervisor.stop()
    assert words.read_text().split() == ["worker", "server", "database"]
    assert [part.last_exit for part in parts] == [0, 0, 0]


async def test_a_part_deaf_to_sigterm_is_killed_after_its_grace(tmp_path: Path, mark: str) -> None:
    told: list[str] = []
    part = Part("deaf", command(DEAF), ready=says(tmp_path / "deaf.log", "deaf"), grace=0.05)
    supervisor = supervise([part], tmp_path, mark, told)
    await supervisor.start()
    await supervisor.stop()
    assert part.last_exit == -signal.SIGKILL
    assert "deaf: did not stop within 0.05 s: killed" in told


async def test_a_part_that_cannot_start_is_tried_with_longer_and_longer_waits(tmp_path: Path, mark: str) -> None:
    told: list[str] = []
    part = Part("absent", ["/no/such/program"])
    supervisor = supervise([part], tmp_path, mark, told)
    starting = asyncio.create_task(supervisor.start())
    await until(lambda: part.failures == 3)
    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await starting
    await supervisor.stop()
    assert [line.rpartition("in ")[2] for line in told[:3]] == ["0.01 s", "0.02 s", "0.04 s"]
    assert "No such file" in told[0]


async def test_the_watchdog_itself_is_replaced(tmp_path: Path, mark: str) -> None:
    supervisor = supervise([Part("quiet", command(QUIET))], tmp_path, mark)
    await supervisor.start()
    first = supervisor._watchdog
    assert first
    first.kill()
    await until(lambda: supervisor._watchdog is not first)
    await supervisor.stop()


def test_kill_9_of_the_supervisor_leaves_nothing(tmp_path: Path, mark: str) -> None:
    code = f"""
import asyncio, os
from pathlib import Path
from services.cli.supervisor import Part, Supervisor

async def main():
    log = Path({str(tmp_path)!r}) / "busy.log"
    async def ready():
        return "children" in log.read_text()
    part = Part("busy", {command(WITH_CHILDREN)!r}, ready=ready)
    await Supervisor([part], log.parent, {mark!r}, os.environ).start()
    print("up", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
    supervisor = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert supervisor.stdout
    assert supervisor.stdout.readline() == b"up\n"
    assert len(watchdog.marked(mark)) == 3  # the part and its two children, one of them in a session of its own
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()
    while watchdog.marked(mark):  # a failure is a timeout of the test
        os.sched_yield()


def test_a_rotated_log_keeps_its_writer(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"old\n")
        rotate(log)
        writer.write(b"new\n")
    assert (tmp_path / "part.log.1").read_text() == "old\n"
    assert log.read_text() == "new\n"


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "ended with exit code 0"), (3, "ended with exit code 3"), (-9, "was killed by SIGKILL"), (-15, "was killed by SIGTERM")],
)
def test_exits_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words
