"""The device lease: trainings wait for it, say that they want it, and end if it is lost."""

import asyncio

import pytest

from services.trainer.device import DeviceLost, with_device
from shared.ledger.locks import acquire_lock, lock_wanted, release_lock
from shared.settings import Settings

NAME = "device:bench"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    chosen = Settings(device="bench", lease_seconds=0.3, renew_seconds=0.1)
    for module in ("services.trainer.device", "shared.engines.device"):
        monkeypatch.setattr(f"{module}.settings", lambda: chosen)
    monkeypatch.setattr("shared.engines.device.POLL_SECONDS", 0.01)


async def test_it_waits_for_the_engine_to_yield_and_gives_back_at_the_end(ledger):
    assert acquire_lock(ledger, NAME, "engine", 60)
    began = asyncio.Event()

    async def body() -> str:
        began.set()
        assert not acquire_lock(ledger, NAME, "engine", 60), "the training holds the device"
        return "trained"

    waiting = asyncio.create_task(with_device(ledger, "training", body()))
    while not lock_wanted(ledger, NAME):
        await asyncio.sleep(0)
    assert not began.is_set()
    release_lock(ledger, NAME, "engine")
    assert await waiting == "trained"
    assert acquire_lock(ledger, NAME, "engine", 60)


async def test_the_lease_is_renewed_for_as_long_as_it_is_held(ledger):
    async def body() -> bool:
        await asyncio.sleep(0.9)  # three leases long
        return acquire_lock(ledger, NAME, "engine", 60)

    assert not await with_device(ledger, "training", body())


async def test_a_lost_device_cancels_the_training(ledger):
    cancelled = asyncio.Event()

    async def body() -> None:
        release_lock(ledger, NAME, "training")
        assert acquire_lock(ledger, NAME, "engine", 60)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(DeviceLost, match="device:bench"):
        await with_device(ledger, "training", body())
    assert cancelled.is_set()
    assert not acquire_lock(ledger, NAME, "third", 60), "the new holder's lease is left alone"


async def test_cancelled_while_it_waits_it_starts_nothing(ledger):
    assert acquire_lock(ledger, NAME, "engine", 60)

    async def body() -> None:
        raise AssertionError("must not run")

    waiting = asyncio.create_task(with_device(ledger, "training", body()))
    while not lock_wanted(ledger, NAME):
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
