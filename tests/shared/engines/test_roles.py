"""Engines with a real ledger, real children (of a fake engine) and many coroutines."""

import asyncio
import os
import signal
import struct
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from shared.contracts.models import ModelSpec, Sampling
from shared.contracts.work import ModelRef, engine_set
from shared.engines.client import EngineDied, EngineError, EngineFailed, ModelMissing
from shared.engines.local import Plan
from shared.engines.roles import Engines
from shared.engines.supervise import descendants
from shared.ledger.database import Ledger
from shared.ledger.locks import acquire_lock, release_lock
from shared.settings import Settings
from tests.shared.engines.processes import alive, soon
from tests.shared.engines.scripted import scripted_server

FAKE = Path(__file__).with_name("fake_engine.py")
SAMPLING = Sampling(max_tokens=1)
DEVICE = "device:test"
HEADER = b'{"w": {"dtype": "BF16", "shape": [0], "data_offsets": [0, 0]}}'


class House:
    """A ledger, models on disk, and the engines of one worker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger(f"sqlite:///{folder}/ledger.db")
        self.ledger.migrate()
        self.starts = folder / "starts"
        self.environment = {"FAKE_STARTS": str(self.starts)}
        self.engines = self.worker("worker")

    def worker(self, name: str) -> Engines:
        return Engines(self.ledger, name, self.launch)

    def launch(self, plan: Plan, port: int) -> tuple[list[str], dict[str, str]]:
        return [sys.executable, str(FAKE), str(port), plan.model], self.environment

    def model(self, name: str, **more: object) -> ModelRef:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text("{}")
        return ModelRef(name=name, spec=ModelSpec.model_validate({"model": str(folder), **more}))

    def checkpoint(self, name: str, config: str = "{}") -> ModelRef:
        """A model with (empty) weights, which an engine may load over those of another."""
        ref = self.model(name)
        (Path(ref.spec.model) / "config.json").write_text(config)
        (Path(ref.spec.model) / "model.safetensors").write_bytes(struct.pack("<Q", len(HEADER)) + HEADER)
        return ref

    def started(self) -> list[str]:
        """Names of the models in order of their starts."""
        return [Path(line).name for line in self.starts.read_text().split()] if self.starts.exists() else []

    def engine_pids(self) -> list[int]:
        """All processes below this one that belong to engines."""
        return [pid for pid in descendants(os.getpid()) if b"fake_engine" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def only(*refs: ModelRef) -> str:
    return engine_set({ref.name: ref for ref in refs})


async def ask(engines: Engines, ref: ModelRef, prompt: str = "q", of: str | None = None) -> str:
    """One item's life: takes its turn, asks once, leaves."""
    async with engines.using(only(ref) if of is None else of) as serving:
        endpoint = await serving.endpoint(ref)
        return (await endpoint.complete(prompt, sampling=SAMPLING)).choices[0].text


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def choose(**values: object) -> None:
        settings = Settings.model_validate(
            {"device": "test", "engine_log_dir": tmp_path / "logs", "renew_seconds": 0.1, "lease_seconds": 5.0, **values}
        )
        for module in ("roles", "local", "device"):
            monkeypatch.setattr(f"shared.engines.{module}.settings", lambda: settings)

    monkeypatch.setattr("shared.engines.device.POLL_SECONDS", 0.05)
    monkeypatch.setattr("shared.engines.device.COURTESY_SECONDS", 0.5)
    monkeypatch.setattr("shared.engines.roles.TICK_SECONDS", 0.05)
    monkeypatch.setattr("shared.engines.roles.LINGER_SECONDS", 0.1)
    choose()
    return choose


@pytest.fixture
async def house(tmp_path: Path, chosen: Callable[..., None]) -> AsyncIterator[House]:
    house = House(tmp_path)
    yield house
    await house.engines.close()
    assert house.engine_pids() == []
    house.ledger.close()


async def test_one_child_serves_many_items_and_outlives_them(house):
    a = house.model("a")
    answers = await asyncio.gather(*(ask(house.engines, a) for _ in range(20)))
    answers.append(await ask(house.engines, a))
    assert len(set(answers)) == 1
    assert house.started() == ["a"]
    assert not acquire_lock(house.ledger, DEVICE, "other", 1.0)


async def test_no_engine_no_start(house):
    async with house.engines.using(""):
        pass
    async with house.engines.using(only(house.model("a"))):
        pass  # an item that never asks
    assert house.started() == []
    assert acquire_lock(house.ledger, DEVICE, "other", 1.0)


async def test_another_set_waits_for_the_present_ones_users(house):
    a, b = house.model("a"), house.model("b")
    async with house.engines.using(only(a)) as serving:
        first = await serving.endpoint(a)
        other = asyncio.create_task(ask(house.engines, b))
        await asyncio.sleep(0)
        assert (await first.complete("q", sampling=SAMPLING)).choices
        assert await ask(house.engines, a)  # patience has not run out: one more of the present set
        assert not other.done()
    assert str(house.folder / "b") in await other
    assert house.started() == ["a", "b"]
    assert (
        len({pid for pid in house.engine_pids() if str(house.folder / "a").encode() in Path(f"/proc/{pid}/cmdline").read_bytes()})
        == 0
    )


async def test_who_waited_long_goes_before_newcomers(house, chosen):
    chosen(engine_change_seconds=1e-6)
    a, b = house.model("a"), house.model("b")
    async with house.engines.using(only(a)) as serving:
        await serving.endpoint(a)
        other = asyncio.create_task(ask(house.engines, b))
        await asyncio.sleep(0.01)
        newcomer = asyncio.create_task(ask(house.engines, a))
    await asyncio.gather(other, newcomer)
    assert house.started() == ["a", "b", "a"]


async def test_many_items_of_two_sets(house):
    a, b = house.model("a"), house.model("b")
    answers = await asyncio.gather(*(ask(house.engines, ref) for ref in [a, b] * 20))
    assert [Path(answer.split()[0]).name for answer in answers] == ["a", "b"] * 20
    assert house.started() == ["a", "b"]


async def test_a_set_of_several_models(house):
    a, b = house.model("a", max_model_len=512), house.model("b")
    of = only(a, b)
    assert Path((await ask(house.engines, a, of=of)).split()[0]).name == "a"
    assert Path((await ask(house.engines, b, of=of)).split()[0]).name == "b"
    assert sorted(house.started()) == ["a", "b"]
    with pytest.raises(EngineError, match="not in the item's engine set"):
        await ask(house.engines, house.model("c"), of=of)


async def test_checkpoints_of_one_architecture_share_a_process(house):
    a, b, other = house.checkpoint("a"), house.checkpoint("b"), house.checkpoint("other", '{"hidden_size": 2}')
    answers = [await ask(house.engines, ref) for ref in (a, b, a, other)]
    assert [Path(answer.split()[0]).name for answer in answers] == ["a", "b", "a", "other"]
    pids = [answer.split()[1] for answer in answers]
    assert len(set(pids[:3])) == 1 and pids[3] not in pids[:3]
    assert house.started() == ["a", "other"]


async def test_one_of_a_sets_models_changes(house):
    a, b, same = house.checkpoint("a"), house.checkpoint("b"), house.checkpoint("same")
    before = [await ask(house.engines, ref, of=only(a, same)) for ref in (a, same)]
    after = [await ask(house.engines, ref, of=only(b, same)) for ref in (b, same)]
    assert [answer.split()[1] for answer in after] == [answer.split()[1] for answer in before]
    assert Path(after[0].split()[0]).name == "b" and after[1] == before[1]
    assert house.started() == ["a", "same"]


async def test_a_reload_that_fails_becomes_a_start(house):
    house.environment["FAKE_RELOAD_FAILS"] = "no such tensor"
    a, b = house.checkpoint("a"), house.checkpoint("b")
    assert await ask(house.engines, a)
    assert Path((await ask(house.engines, b)).split()[0]).name == "b"
    assert house.started() == ["a", "b"]


async def test_a_dead_child_is_not_reloaded(house):
    a, b = house.checkpoint("a"), house.checkpoint("b")
    async with house.engines.using(only(a)) as serving:
        endpoint = await serving.endpoint(a)
        os.kill(int((await endpoint.complete("q", sampling=SAMPLING)).choices[0].text.split()[1]), signal.SIGKILL)
        other = asyncio.create_task(ask(house.engines, b))
        with pytest.raises(EngineDied):
            await endpoint.complete("q", sampling=SAMPLING)
    assert Path((await other).split()[0]).name == "b"
    assert house.started() == ["a", "b"]


async def test_a_dead_child_is_restarted(house):
    a = house.model("a")
    async with house.engines.using(only(a)) as serving:
        endpoint = await serving.endpoint(a)
        hanging = asyncio.create_task(endpoint.complete("hang", sampling=SAMPLING))
        pid = int((await endpoint.complete("q", sampling=SAMPLING)).choices[0].text.split()[1])
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(EngineDied):
            await hanging
        again = await (await serving.endpoint(a)).complete("q", sampling=SAMPLING)
    assert again.choices[0].text.split()[1] != str(pid)
    assert house.started() == ["a", "a"]


async def test_a_dead_child_that_nobody_uses_keeps_no_device(house):
    pid = int((await ask(house.engines, house.model("a"))).split()[1])
    os.kill(pid, signal.SIGKILL)
    await soon(lambda: acquire_lock(house.ledger, DEVICE, "other", 1.0), "the device is given back")


async def test_a_failed_start_is_told_to_all_and_tried_again(house):
    a = house.model("a")
    house.environment["FAKE_FAIL"] = "out of memory"
    results = await asyncio.gather(*(ask(house.engines, a) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(result, EngineFailed) and "out of memory" in str(result) for result in results)
    assert len(list((house.folder / "logs").iterdir())) == 1  # one start for all
    assert acquire_lock(house.ledger, DEVICE, "other", 60.0)  # nothing is held
    release_lock(house.ledger, DEVICE, "other")
    del house.environment["FAKE_FAIL"]
    assert await ask(house.engines, a)


async def test_a_missing_model(house):
    with pytest.raises(ModelMissing, match="no model `/nowhere`"):
        await ask(house.engines, ModelRef(name="m", spec=ModelSpec(model="/nowhere")))


async def test_a_cancelled_item_does_not_stop_a_start_that_others_wait_for(house):
    a = house.model("a")
    acquire_lock(house.ledger, DEVICE, "other", 60.0)
    first = asyncio.create_task(ask(house.engines, a))
    second = asyncio.create_task(ask(house.engines, a))
    await asyncio.sleep(0.1)
    first.cancel()
    release_lock(house.ledger, DEVICE, "other")
    assert await second
    assert house.started() == ["a"]
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_start_whose_items_have_gone_makes_way(house):
    # a's start waits for the device, its only item is cancelled, and b's comes: b is started, and a never
    a, b = house.model("a"), house.model("b")
    acquire_lock(house.ledger, DEVICE, "other", 60.0)
    first = asyncio.create_task(ask(house.engines, a))
    await asyncio.sleep(0.1)
    first.cancel()
    second = asyncio.create_task(ask(house.engines, b))
    await asyncio.sleep(0.1)
    release_lock(house.ledger, DEVICE, "other")
    assert Path((await second).split()[0]).name == "b"
    assert house.started() == ["b"]


async def test_a_waiting_item_is_cancelled(house):
    a, b = house.model("a"), house.model("b")
    async with house.engines.using(only(a)):
        waiting = asyncio.create_task(ask(house.engines, b))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert await ask(house.engines, a)
    assert house.started() == ["a"]


async def test_an_idle_engine_yields_the_device(house):
    a = house.model("a")
    await ask(house.engines, a)
    await soon(lambda: acquire_lock(house.ledger, DEVICE, "training", 60.0, want=True), "the device is yielded")
    assert house.engine_pids() == []
    later = asyncio.create_task(ask(house.engines, a))
    await asyncio.sleep(0.2)
    assert house.started() == ["a"]  # waits for the training
    release_lock(house.ledger, DEVICE, "training")
    assert await later


async def test_an_engine_in_use_does_not_yield(house):
    a = house.model("a")
    async with house.engines.using(only(a)) as serving:
        endpoint = await serving.endpoint(a)
        for _ in range(10):
            assert not acquire_lock(house.ledger, DEVICE, "training", 60.0, want=True)
            await asyncio.sleep(0.05)
        assert await endpoint.complete("q", sampling=SAMPLING)


async def test_who_wants_the_device_for_long_gets_it(house, chosen):
    chosen(engine_change_seconds=0.02)  # patience: 0.2 s
    a = house.model("a")
    over = asyncio.Event()

    async def keep_asking() -> None:
        while not over.is_set():
            await ask(house.engines, a)

    # there is always an item here that uses the engine
    askers = [asyncio.create_task(keep_asking()) for _ in range(3)]
    await soon(lambda: acquire_lock(house.ledger, DEVICE, "training", 60.0, want=True), "the device is yielded")
    over.set()
    release_lock(house.ledger, DEVICE, "training")
    await asyncio.gather(*askers)


async def test_two_workers_of_one_device_take_turns(house):
    a, b = house.model("a"), house.model("b")
    other = house.worker("other")
    assert await ask(house.engines, a)
    assert await ask(other, b)
    assert await ask(house.engines, a)
    assert house.started() == ["a", "b", "a"]
    await other.close()


async def test_a_lost_device_stops_the_children(house):
    a = house.model("a")
    async with house.engines.using(only(a)) as serving:
        endpoint = await serving.endpoint(a)
        hanging = asyncio.create_task(endpoint.complete("hang", sampling=SAMPLING))
        release_lock(house.ledger, DEVICE, "worker/engines")  # as if it had run out, and another had taken it
        assert acquire_lock(house.ledger, DEVICE, "other", 60.0)
        with pytest.raises(EngineDied):
            await hanging
        await soon(lambda: house.engine_pids() == [], "the children are gone")
        release_lock(house.ledger, DEVICE, "other")
        assert await (await serving.endpoint(a)).complete("q", sampling=SAMPLING)


async def test_close_leaves_nothing(house):
    a = house.model("a")
    await ask(house.engines, a)
    pids = house.engine_pids()
    await house.engines.close()
    assert not any(alive(pid) for pid in pids)
    assert acquire_lock(house.ledger, DEVICE, "other", 1.0)
    with pytest.raises(EngineDied, match="the worker is stopping"):
        await ask(house.engines, a)


async def test_close_while_starting(house):
    a, b = house.model("a"), house.model("b")
    house.environment["FAKE_SLOW"] = "1"
    starting = asyncio.create_task(ask(house.engines, a))
    waiting = asyncio.create_task(ask(house.engines, b))
    await soon(lambda: house.started(), "the start has begun")
    await house.engines.close()
    results = await asyncio.gather(starting, waiting, return_exceptions=True)
    assert all(isinstance(result, EngineDied) for result in results), results
    assert acquire_lock(house.ledger, DEVICE, "other", 1.0)


async def test_endpoints_by_url(house, monkeypatch):
    with scripted_server() as server:
        spec = {"model": "gpt", "url": server.url, "api_key_env": "TEST_TEACHER_API_KEY", "price_per_million": (1.0, 2.0)}
        teacher = ModelRef(name="teacher", spec=ModelSpec.model_validate(spec))
        assert only(teacher) == ""
        monkeypatch.delenv("TEST_TEACHER_API_KEY", raising=False)
        with pytest.raises(EngineError, match=r"models\.teacher\.api_key_env: .*TEST_TEACHER_API_KEY is not set"):
            await ask(house.engines, teacher)
        monkeypatch.setenv("TEST_TEACHER_API_KEY", "k")
        assert await ask(house.engines, teacher) == "x"
        assert server.keys == ["Bearer k"]
        await house.engines.close()
