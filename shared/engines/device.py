"""The lease of this process's device: the ledger's lock `device:NAME`, renewed by a thread of its own while it is held.

Engines and trainings of one device take turns by it. Who waits says that the lock is wanted, and an idle holder gives it up.
"""

import asyncio
import threading
import time
from collections.abc import Callable

import structlog

from shared.engines.finishing import to_the_end
from shared.ledger.database import Ledger
from shared.ledger.locks import acquire_lock, lock_wanted, release_lock
from shared.settings import settings

log = structlog.get_logger()

POLL_SECONDS = 1.0
COURTESY_SECONDS = 3 * POLL_SECONDS
"""Who gave up a wanted lock stands back for so long: those who wait look once in POLL_SECONDS."""


class DeviceLease:
    """One holder's lease, in one event loop. `lost` is called in the loop when the lease is lost while held."""

    def __init__(self, ledger: Ledger, holder: str, lost: Callable[[], None]) -> None:
        self._ledger = ledger
        self._holder = holder
        self._name = f"device:{settings().device}"
        self._seconds = settings().lease_seconds
        self._lost = lost
        self._wanted_since: float | None = None
        self._stand_back_until = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.held = False

    def wanted_for(self) -> float:
        """For how many seconds another has been seen to wait for the lease that is held here; 0.0 if none does."""
        since = self._wanted_since
        return 0.0 if since is None or not self.held else max(1e-3, time.monotonic() - since)

    async def acquire(self) -> None:
        """Waits until the lease is held. A cancelled waiter holds nothing."""
        if self.held:
            return
        await asyncio.sleep(self._stand_back_until - time.monotonic())
        told = False
        while not await self._try():
            if not told:
                log.info("waits for the device", device=self._name)
            told = True
            await asyncio.sleep(POLL_SECONDS)
        self.held, self._wanted_since, self._stop = True, None, threading.Event()
        keep = (self._stop, asyncio.get_running_loop())
        self._thread = threading.Thread(target=self._keep, args=keep, name="device", daemon=True)
        self._thread.start()

    async def release(self) -> None:
        """Gives the lease back; a no-op if it is not held."""
        if self.wanted_for():
            self._stand_back_until = time.monotonic() + COURTESY_SECONDS
        await to_the_end(asyncio.to_thread(self._release))

    async def _try(self) -> bool:
        attempt = asyncio.ensure_future(
            asyncio.to_thread(acquire_lock, self._ledger, self._name, self._holder, self._seconds, want=True)
        )
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            # the thread goes on: what it gets is given back
            await asyncio.wait([attempt])
            if attempt.exception() is None and attempt.result():
                await to_the_end(asyncio.to_thread(release_lock, self._ledger, self._name, self._holder))
            raise

    def _release(self) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stop.set()
        thread.join()  # or it might renew what is given back below
        was_held, self.held = self.held, False
        if was_held:
            release_lock(self._ledger, self._name, self._holder)

    def _keep(self, stop: threading.Event, loop: asyncio.AbstractEventLoop) -> None:
        """Renews until told to stop, and looks who waits. Its own thread: a busy loop loses no device."""
        renewed = time.monotonic()
        while not stop.wait(POLL_SECONDS):
            try:
                if time.monotonic() - renewed >= settings().renew_seconds:
                    if not acquire_lock(self._ledger, self._name, self._holder, self._seconds):
                        break  # it ran out, and another has it
                    renewed = time.monotonic()
                wanted = lock_wanted(self._ledger, self._name)
                self._wanted_since = (self._wanted_since or time.monotonic()) if wanted else None
            except Exception as error:
                log.error("device lease not renewed", device=self._name, error=f"{type(error).__name__}: {error}")
                if time.monotonic() - renewed > 0.8 * self._seconds:
                    break  # time to stop what runs, before another may have it
        if not stop.is_set():
            self.held = False
            log.error("device lease lost", device=self._name)
            loop.call_soon_threadsafe(self._lost)
