"""The parts of one machine, as far as they run without the rest: the real Valkey, the folder, its ports and its key."""

import asyncio
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli import watchdog
from services.cli.devices import WHOLE, devices
from services.cli.folder import Folder, free_port, port_is_free
from services.cli.parts import common_env, parts, pings, valkey_command
from services.cli.supervisor import Part, Supervisor


async def test_valkey_keeps_its_data_survives_losing_it_and_is_seen_by_the_watchdog(tmp_path: Path) -> None:
    folder, port = tmp_path / "valkey", free_port(0)
    part = Part("valkey", valkey_command(port, folder), folder=folder, ready=lambda: pings(port))
    mark = f"{tmp_path}#1"
    supervisor = Supervisor([part], tmp_path / "logs", mark, os.environ, first_wait=0.01)
    await supervisor.start()
    assert watchdog.marked(mark) == [part.pid]
    assert await command(port, "SET", "a", "b") == "+OK"
    assert await command(port, "CONFIG", "GET", "appendfsync") == "*2"
    assert part.pid
    shutil.rmtree(folder)
    os.kill(part.pid, signal.SIGKILL)
    while not (part.starts == 2 and await pings(port)):
        await asyncio.sleep(0.01)
    assert await command(port, "GET", "a") == "$-1"
    await supervisor.stop()
    assert part.last_exit == 0
    assert (folder / "appendonlydir").is_dir()


async def command(port: int, *words: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(" ".join(words).encode() + b"\r\n")
    line = await reader.readline()
    writer.close()
    return line.decode().strip()


async def test_pings_is_false_where_nobody_listens() -> None:
    assert not await pings(free_port(0))


def test_every_part_is_told_its_settings_and_only_the_gateway_the_key(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    table = {part.name: part for part in parts(folder, "lt-secret", 8000, 6380, 5555, [WHOLE])}
    assert list(table) == ["valkey", "gateway", "conductor", "engine-worker", "compiler", "trainer", "flower"]
    assert [name for name, part in table.items() if "lt-secret" in part.env.values()] == ["gateway"]
    assert not any("lt-secret" in word for part in table.values() for word in part.command)
    assert table["valkey"].wave == max(part.wave for part in table.values())
    env = common_env(folder, 6380)
    assert env["LONGTHOUGHT_DATABASE_URL"] == f"sqlite:///{folder.path}/ledger.db"
    assert env["LONGTHOUGHT_BROKER_URL"] == "redis://127.0.0.1:6380/0"


def test_every_device_has_an_engine_and_a_trainer_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2, 4, 6, 8})
    table = {part.name: part for part in parts(Folder(tmp_path), "key", 8000, 6380, 5555, devices(2))}
    told = {name: (part.env.get("LONGTHOUGHT_DEVICE"), part.command[-2:]) for name, part in table.items()}
    for kind in ("engine-worker", "trainer"):
        assert told[f"{kind}-0"] == ("local-0", ["--cpus", "0,2"]) and told[f"{kind}-1"] == ("local-1", ["--cpus", "4,6,8"])
    assert told["compiler"] == ("local", ["--slots", "4"])
    with pytest.raises(ValueError, match="6 devices need as many cores, and there are 5"):
        devices(6)


def test_devices_are_gpus_where_there_are_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for node in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / node).touch()
    monkeypatch.setattr("shared.gpus.NODES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [(one.env["CUDA_VISIBLE_DEVICES"], one.arguments) for one in devices(2)] == [("0", ()), ("1", ())]
    with pytest.raises(ValueError, match="3 devices need as many GPUs, and there are 2: 0, 1"):
        devices(3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5f,7")
    assert [one.env["CUDA_VISIBLE_DEVICES"] for one in devices(3)] == ["3", "GPU-5f", "7"]
    with pytest.raises(ValueError, match="there are 3: 3, GPU-5f, 7"):
        devices(4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert [one.arguments for one in devices(2)] == [("--cpus", "0"), ("--cpus", "1")]


def test_a_worker_keeps_to_its_cores(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    told = f"""
import os, sys
from shared.work import worker
worker.start_telemetry = lambda name: sys.exit(str(sorted(os.sched_getaffinity(0))))
sys.argv = ["worker", "--services", "compiler", "--cpus", "{core}"]
worker.main()
"""
    found = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False)
    assert found.stderr.strip().splitlines()[-1] == f"[{core}]"


def test_the_key_stays_and_its_file_is_private_and_loads_in_a_shell(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "with space")
    folder.path.mkdir()
    key = folder.key()
    folder.write_client_env("http://127.0.0.1:8000", key)
    assert folder.key() == key
    assert stat.S_IMODE(folder.client_env.stat().st_mode) == 0o600
    script = f". '{folder.client_env}' && {sys.executable} -c 'import os; print(os.environ[\"LONGTHOUGHT_API_KEY\"])'"
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.strip() == key


def test_a_folder_has_one_holder_until_that_ends(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from services.cli.folder import Folder;"
        f"f = Folder(Path({str(tmp_path)!r})); assert f.hold() is None; print('held', flush=True); sys.stdin.read()"
    )
    folder = Folder(tmp_path)
    assert folder.holder() is None
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout
    assert other.stdout.readline() == b"held\n"
    assert folder.holder() == other.pid
    assert folder.hold() == other.pid
    other.kill()
    other.communicate()
    assert folder.holder() is None
    assert folder.hold() is None
    assert Folder(tmp_path).holder() == os.getpid()


def test_the_state_file_is_always_whole(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "new")
    assert folder.state() == {}
    folder.write_state({"pid": 1, "ready": True})
    assert folder.state() == json.loads(folder.state_file.read_text()) == {"pid": 1, "ready": True}


@pytest.mark.parametrize("listening", [True, False])
def test_a_taken_port_is_avoided(listening: bool) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        if listening:
            other.listen()
        assert not port_is_free(port)
        assert free_port(port) != port
    assert port_is_free(port)
    assert free_port(port) == port
    assert free_port(port, port) != port
