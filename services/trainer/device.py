"""The device lease: engines and trainings of one device take turns. An idle engine yields it to whoever wants it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from shared.ledger.database import Ledger
from shared.ledger.locks import acquire_lock, release_lock
from shared.settings import settings

T = TypeVar("T")
log = structlog.get_logger()
POLL_SECONDS = 1.0


class DeviceLost(Exception):
    """The device's lease ran out and another took it: this machine or the ledger stood still for too long."""


async def with_device(ledger: Ledger, holder: str, body: Coroutine[Any, Any, T]) -> T:
    """Waits for this process's device, then runs `body` while holding it.

    Raises DeviceLost if it is lost meanwhile; `body` is cancelled then.
    """
    name, seconds = f"device:{settings().device}", settings().lease_seconds
    waited = 0.0
    try:
        while not await asyncio.to_thread(acquire_lock, ledger, name, holder, seconds, True):
            if waited == 0:
                log.info("waits for the device", device=name)
            waited += POLL_SECONDS
            await asyncio.sleep(POLL_SECONDS)
    except BaseException:
        body.close()
        raise

    async def keep() -> None:
        while True:
            await asyncio.sleep(seconds / 3)
            if not await asyncio.to_thread(acquire_lock, ledger, name, holder, seconds):
                raise DeviceLost(f"{name} was taken by another after its lease of {seconds:.0f} s ran out")

    work, keeper = asyncio.create_task(body), asyncio.create_task(keep())
    try:
        await asyncio.wait({work, keeper}, return_when=asyncio.FIRST_COMPLETED)
        if keeper.done() and not work.done():
            keeper.result()
        return await work
    finally:
        keeper.cancel()
        if not work.done():
            work.cancel()
            await asyncio.wait({work})
        await asyncio.to_thread(release_lock, ledger, name, holder)
