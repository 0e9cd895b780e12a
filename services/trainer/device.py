"""The device while a training runs: it takes turns with the engines, as they do among themselves."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from shared.engines.device import DeviceLease
from shared.ledger.database import Ledger
from shared.settings import settings

T = TypeVar("T")


class DeviceLost(Exception):
    """The device's lease ran out and another took it: this machine or the ledger stood still for too long."""


async def with_device(ledger: Ledger, holder: str, body: Coroutine[Any, Any, T]) -> T:
    """Waits for this process's device, then runs `body` while holding it.

    Raises DeviceLost if it is lost meanwhile; `body` is cancelled then.
    """
    lost = asyncio.Event()
    device = DeviceLease(ledger, holder, lost.set)
    try:
        await device.acquire()
    except BaseException:
        body.close()
        raise
    work, watch = asyncio.create_task(body), asyncio.create_task(lost.wait())
    try:
        await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise DeviceLost(f"device:{settings().device} could not be renewed, or was taken by another after its lease ran out")
        return await work
    finally:
        watch.cancel()
        if not work.done():
            work.cancel()
            await asyncio.wait({work})
        await device.release()
