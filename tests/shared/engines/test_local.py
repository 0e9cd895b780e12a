"""A local server's life, with a fake in place of vLLM."""

import fcntl
import os
import signal
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from shared.contracts.models import Sampling
from shared.engines.client import EngineDied, EngineFailed
from shared.engines.local import LocalServer, Plan, command_of, free_port, vllm_command
from shared.engines.supervise import descendants
from shared.settings import Settings
from tests.shared.engines.processes import alive, soon

FAKE = Path(__file__).with_name("fake_engine.py")
SAMPLING = Sampling(max_tokens=1)


def fake(plan: Plan, port: int) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, str(FAKE), str(port), plan.model], {}


@pytest.fixture(autouse=True)
def chosen(tmp_path, monkeypatch) -> Settings:
    settings = Settings(engine_log_dir=tmp_path / "logs", engine_start_seconds=30, engine_args="--max-num-seqs '8'")
    monkeypatch.setattr("shared.engines.local.settings", lambda: settings)
    return settings


async def test_a_life(tmp_path):
    server = LocalServer(Plan("m", tmp_path), fake)
    await server.start()
    assert server.pid
    family = [server.pid, *descendants(server.pid)]
    assert len(family) == 4  # two watchers, the engine, its child
    completion = await server.endpoint().complete("q", n=2, sampling=SAMPLING)
    assert [choice.token_ids for choice in completion.choices] == [(1, 2)] * 2
    await server.stop()
    assert not any(alive(pid) for pid in family)
    assert "was stopped" in str(server.gone())
    with pytest.raises(EngineDied, match="was stopped"):
        server.endpoint()


async def test_a_served_download_is_held_until_the_server_has_another_or_ends(tmp_path, monkeypatch):
    settings = Settings(cache_dir=tmp_path)
    monkeypatch.setattr("shared.engines.downloads.settings", lambda: settings)
    folders = [tmp_path / "downloads" / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir(parents=True)

    def free() -> list[bool]:
        found = []
        for folder in folders:
            with folder.with_suffix(".use").open("ab") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    found.append(True)
                except BlockingIOError:
                    found.append(False)
        return found

    server = LocalServer(Plan("m", folders[0]), fake)
    assert free() == [True, True]
    await server.start()
    assert free() == [False, True]
    await server.reload(Plan("n", folders[1]))
    assert free() == [True, False]
    await server.stop()
    assert free() == [True, True]


async def test_a_start_that_fails_shows_the_logs_end(tmp_path):
    def failing(plan: Plan, port: int) -> tuple[list[str], dict[str, str]]:
        return fake(plan, port)[0], {"FAKE_FAIL": "no memory for keys and values"}

    server = LocalServer(Plan("m", tmp_path), failing)
    with pytest.raises(EngineFailed, match=r"`m` ended with code 1; its log .*\nno memory for keys and values"):
        await server.start()


async def test_a_start_that_takes_too_long(tmp_path, monkeypatch, chosen):
    def sleeping(plan: Plan, port: int) -> tuple[list[str], dict[str, str]]:
        return ["sleep", "3600"], {}

    monkeypatch.setattr("shared.engines.local.settings", lambda: chosen.model_copy(update={"engine_start_seconds": 0.1}))
    server = LocalServer(Plan("m", tmp_path), sleeping)
    with pytest.raises(EngineFailed, match="did not answer within 0.1 s"):
        await server.start()
    assert server.pid
    assert not alive(server.pid)


async def test_a_killed_engine(tmp_path):
    server = LocalServer(Plan("m", tmp_path), fake)
    await server.start()
    assert server.pid
    family = descendants(server.pid)
    endpoint = server.endpoint()
    os.kill(family[1], signal.SIGKILL)  # inner watcher, engine, its child
    with pytest.raises(EngineDied):
        await endpoint.complete("q", sampling=SAMPLING)
    await soon(lambda: "ended with code 137" in str(server.gone()), "the engine's end is noticed")
    assert not any(alive(pid) for pid in family)
    await server.stop()


def test_the_command_of_vllm(tmp_path):
    command, environment = vllm_command(Plan("org/m", tmp_path, share=0.5), 4711)
    assert command[1:3] == ["-m", "vllm.entrypoints.openai.api_server"]
    told = dict(pairwise(command))
    assert told["--model"] == str(tmp_path)
    assert told["--served-model-name"] == "org/m"
    assert told["--max-model-len"] == "auto"
    assert told["--port"] == "4711"
    assert command[-2:] == ["--max-num-seqs", "8"]  # what the settings add comes last, and so wins
    assert environment["HF_HUB_OFFLINE"] == environment["VLLM_NO_USAGE_STATS"] == "1"


@pytest.mark.parametrize(("share", "gib"), [(1.0, "2"), (0.5, "1"), (0.1, "1")])
def test_shares_of_a_cpus_memory(tmp_path, share, gib, monkeypatch):
    monkeypatch.setattr("shared.engines.local.vllm_version", lambda: ("1", True))
    assert vllm_command(Plan("m", tmp_path, share=share), 1)[1]["VLLM_CPU_KVCACHE_SPACE"] == gib


def test_shares_of_a_gpus_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("shared.engines.local.vllm_version", lambda: ("1", False))
    command, environment = vllm_command(Plan("m", tmp_path, max_model_len=512, share=0.5), 1)
    assert dict(pairwise(command))["--gpu-memory-utilization"] == "0.450"
    assert "--enforce-eager" not in command
    assert "OMP_NUM_THREADS" not in environment


def test_the_command_of_transformers(tmp_path):
    command, environment = command_of(Plan("org/m", tmp_path, max_model_len=512, share=0.5, engine="transformers"), 4711)
    told = dict(pairwise(command))
    assert told["-m"] == "shared.engines.transformers_server" and told["shared.engines.transformers_server"] == str(tmp_path)
    assert (told["--name"], told["--port"], told["--max-model-len"], told["--kv-gib"]) == ("org/m", "4711", "512", "1.0")
    assert environment["HF_HUB_OFFLINE"] == "1"
    with pytest.raises(EngineFailed, match="served by vLLM alone"):
        command_of(Plan("org/m", tmp_path, engine="transformers", prm="skywork"), 4711)


def test_logs_of_engines_long_gone_are_deleted(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    for name, days in (("engine-1-1.log", 8), ("engine-1-2.log", 6), ("other.log", 8)):
        (folder / name).write_text("")
        os.utime(folder / name, (time.time() - days * 86_400,) * 2)
    LocalServer(Plan("m", tmp_path), fake)
    assert {path.name for path in folder.iterdir()} == {"engine-1-2.log", "other.log"}


def test_ports_differ():
    assert len({free_port() for _ in range(20)}) > 1
