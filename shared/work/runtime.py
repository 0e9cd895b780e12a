"""The worker's inside: one event loop for all its items, one thread that keeps their leases.

An item's life here: claim -> engine set served -> handler -> commit. It ends early when the lease is lost (killed,
cancelled, paused,
past its deadline: the coroutine is cancelled and nothing is written) or when the worker stops (its lease is given back unharmed).
"""

import asyncio
import os
import secrets
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait

import structlog

from shared.contracts.recipe import PREFLIGHT, Recipe
from shared.contracts.stages.base import Service
from shared.contracts.work import TRAINING
from shared.engines.client import EndpointDown, EngineDied, SpendCapReached
from shared.engines.roles import Engines
from shared.ledger.database import Ledger
from shared.ledger.items import Lease, LeaseLost, Result, claim, commit, renew
from shared.ledger.runs import get_run
from shared.ledger.setbacks import fail, lose, release
from shared.ledger.workers import beat
from shared.settings import Settings
from shared.work.context import Work
from shared.work.registry import Hopeless, handler_of

log = structlog.get_logger()

GIVE_BACK_SECONDS = 60.0
"""How long a worker that stops waits for its items, and"""
SAVE_SECONDS = 560.0
"""how long one that trains: it saves a checkpoint first (services/trainer/launch.py)."""
DECIDING = (LeaseLost, SpendCapReached, EndpointDown, EngineDied, Hopeless)


def cause_of(group: ExceptionGroup[Exception]) -> Exception:
    """The failure in a group that decides what becomes of the item: those of DECIDING in their order, else the first."""
    leaves: list[Exception] = []
    for error in group.exceptions:
        leaves.append(cause_of(error) if isinstance(error, ExceptionGroup) else error)
    return next(
        (leaf for kind in DECIDING for leaf in leaves if isinstance(leaf, kind)),
        leaves[0],
    )


class Runtime:
    """All that a worker process holds."""

    def __init__(self, settings: Settings, services: str, slots: int) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self._settings = settings
        self._services = services
        self._slots = slots
        self._ledger = Ledger(settings.database_url)
        self._engines = Engines(self._ledger, self.name)
        self._held: dict[tuple[str, int], asyncio.Task[Result]] = {}
        self._working: set[Future[None]] = set()
        self._stopping = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(16, thread_name_prefix="ledger"))
        self._threads = [
            threading.Thread(target=self._loop.run_forever, name="items", daemon=True),
            threading.Thread(target=self._keep_leases, name="leases", daemon=True),
        ]

    def start(self) -> None:
        """Starts the loop and the keeper of leases."""
        for thread in self._threads:
            thread.start()

    def work(self, item_id: str) -> None:
        """Works one item to its end; blocks the calling (Celery) thread, while the item itself is a coroutine beside all others."""
        working = asyncio.run_coroutine_threadsafe(self._work(item_id), self._loop)
        self._working.add(working)
        try:
            working.result()
        finally:
            self._working.discard(working)

    def stop(self) -> None:
        """Cancels what is in hand and gives its leases back: no attempt is lost, nor is any work that was saved."""
        self._stopping.set()
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._held.values()])

    def close(self) -> None:
        """After `stop`: waits until every item in hand is given back, then stops the engines and the loop."""
        seconds = SAVE_SECONDS if Service.TRAINER in self._services.split(",") else GIVE_BACK_SECONDS
        wait(list(self._working), timeout=seconds)  # the loop gone, whoever works one would wait for ever
        asyncio.run_coroutine_threadsafe(self._engines.close(), self._loop).result(timeout=60)
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _work(self, item_id: str) -> None:
        if self._stopping.is_set():
            return
        lease = await asyncio.to_thread(claim, self._ledger, item_id, self.name, self._settings.lease_seconds)
        if lease is None:
            return  # done, held by another, or paused: a doorbell rung twice
        if self._stopping.is_set():
            await asyncio.to_thread(release, self._ledger, lease)
            return
        holding = (lease.item_id, lease.fence)
        bound = log.bind(item=lease.item_id, fence=lease.fence)
        task = asyncio.create_task(self._handle(lease))
        self._held[holding] = task
        try:
            result = await task
            await asyncio.to_thread(commit, self._ledger, lease, result)
            if result.afterwards:
                await asyncio.to_thread(result.afterwards)
            bound.info("done", **result.summary)
        except asyncio.CancelledError:
            # cancelled by `stop` (give the lease back) or by the keeper (it is gone: giving back then changes nothing)
            await asyncio.to_thread(release, self._ledger, lease)
            bound.info("let go")
        except LeaseLost as error:
            bound.warning("lost", error=str(error))
        except SpendCapReached as error:
            bound.warning("run paused", error=str(error))
            await asyncio.to_thread(release, self._ledger, lease)
        except EndpointDown as error:
            bound.warning("endpoint down", error=str(error))
            await asyncio.to_thread(release, self._ledger, lease, error.seconds, str(error))
        except EngineDied as error:
            bound.warning("engine died", error=str(error))
            await self._settle(lose, lease)
        except Exception as error:
            message = str(error) if isinstance(error, Hopeless) else f"{type(error).__name__}: {error}"
            bound.error("failed", exc_info=not isinstance(error, Hopeless), error=message)
            await self._settle(fail, lease, message, isinstance(error, Hopeless))
        finally:
            del self._held[holding]

    async def _settle(self, how, lease: Lease, *details: object) -> None:  # type: ignore[no-untyped-def]
        try:
            await asyncio.to_thread(how, self._ledger, lease, *details)
        except LeaseLost as error:
            log.warning("lost", item=lease.item_id, error=str(error))

    async def _handle(self, lease: Lease) -> Result:
        run = await asyncio.to_thread(get_run, self._ledger, lease.run_id)
        if run is None:
            raise LeaseLost(f"run {lease.run_id} was deleted")
        recipe = Recipe.model_validate(run.recipe)
        kind = f"{PREFLIGHT}.{lease.payload['check']}" if lease.stage == PREFLIGHT else recipe.stages[lease.stage].kind
        async with self._engines.using("" if lease.engine_set == TRAINING else lease.engine_set) as serving:
            try:
                capped = run.spend_cap is not None
                return await handler_of(kind)(Work(self._ledger, lease, recipe, serving, self.name, capped))
            except ExceptionGroup as group:
                raise cause_of(group) from None

    def _keep_leases(self) -> None:
        """Renews every few seconds what the worker holds; lets go of what it no longer holds. Its own thread: a busy loop
        starves no lease.
        """
        renewed_at = time.monotonic()
        while True:
            held = set(self._held)
            try:
                kept = renew(self._ledger, self.name, self._settings.lease_seconds, {item for item, _ in held})
                beat(self._ledger, self.name, self._services, 0 if self._stopping.is_set() else self._slots)
                renewed_at = time.monotonic()
                gone = held - kept
            except Exception as error:
                log.error("leases not renewed", error=f"{type(error).__name__}: {error}")
                gone = held if time.monotonic() - renewed_at > self._settings.lease_seconds else set()
            for holding in gone:
                self._loop.call_soon_threadsafe(self._let_go, holding)
            time.sleep(self._settings.renew_seconds)

    def _let_go(self, holding: tuple[str, int]) -> None:
        if task := self._held.get(holding):
            task.cancel()
