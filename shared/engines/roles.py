"""Engines: who plays a role. One object a worker process, in its one event loop, for all items it holds.

The local models that an item uses are its *engine set*. The process serves one set at a time, one vLLM child a model, while it
holds the lease of its device. Items of the same set share the children; an item of another set waits until they are through.
Children outlive items. If the next set's models are checkpoints of the same architecture, the children load their weights in place
of those they have. Else they go when another set's turn comes, when another process wants the device and nobody here uses it, and
when the process goes; if one dies, the set is started anew at its next use.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from shared.contracts.work import ModelRef, served
from shared.engines.checkpoints import difference
from shared.engines.client import Endpoint
from shared.engines.device import DeviceLease
from shared.engines.downloads import held
from shared.engines.errors import EngineDied, EngineError
from shared.engines.finishing import to_the_end
from shared.engines.limits import Rates
from shared.engines.local import Launch, LocalServer, Plan, command_of
from shared.engines.pooling import servable_model
from shared.engines.transport import Server
from shared.ledger.database import Ledger
from shared.settings import settings

log = structlog.get_logger()

TICK_SECONDS = 0.5
LINGER_SECONDS = 2.0
"""An engine counts as idle after so long without a user: items of one stage follow each other closely."""
PATIENCE = 10.0
"""Times the cost of a change: who has waited for so long goes before newcomers of the present set."""

Key = tuple[str, int, str, str]
"""As in contracts.work.served."""


@dataclass(eq=False)
class _Ticket:
    """An item's place in the queue for its engine set."""

    engine_set: str
    since: float


class Serving:
    """What an item sees of the engines while it uses them."""

    def __init__(self, engines: "Engines", engine_set: str) -> None:
        self._engines = engines
        self._engine_set = engine_set

    async def endpoint(self, ref: ModelRef) -> Endpoint:
        """The model's endpoint; starts the whole engine set if it does not run. Raises EngineError."""
        return await self._engines.local(self._engine_set, ref) if ref.local else self._engines.remote(ref)


class Engines:
    """The children and connections of one process. All methods belong to one event loop."""

    def __init__(self, ledger: Ledger, holder: str, launch: Launch = command_of) -> None:
        """`holder` is the worker's name; a training of the same worker holds the device under another name than its engines."""
        self._launch = launch
        self._device = DeviceLease(ledger, f"{holder}/engines", self._device_lost)
        self._remote: dict[tuple[str, str | None, str, Rates], Server] = {}
        self._set = ""
        """The set that items use or used last; `_served` is the one that runs."""
        self._served = ""
        self._children: dict[Key, LocalServer] = {}
        self._users = 0
        self._idle_since = 0.0
        self._queue: list[_Ticket] = []
        self._sleepers: set[asyncio.Future[None]] = set()
        self._changing = asyncio.Lock()
        """Held by whoever starts or stops children."""
        self._change: tuple[str, asyncio.Task[None]] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    @asynccontextmanager
    async def using(self, engine_set: str) -> AsyncIterator[Serving]:
        """Waits for this set's turn (a set in canonical form; '' needs none) and keeps it until the block is left."""
        if not engine_set:
            yield Serving(self, "")
            return
        ticket = _Ticket(engine_set, time.monotonic())
        self._queue.append(ticket)
        try:
            await self._until(lambda: self._may_enter(ticket))
            self._set = engine_set
            self._users += 1
        finally:
            self._queue.remove(ticket)
            self._wake()
        try:
            yield Serving(self, engine_set)
        finally:
            self._users -= 1
            self._idle_since = time.monotonic()
            self._wake()

    async def local(self, engine_set: str, ref: ModelRef) -> Endpoint:
        """A model of the set that the caller is using."""
        key = served(ref.spec)
        if key not in _keys(engine_set):
            raise EngineError(f"models.{ref.name}: `{ref.spec.model}` is not in the item's engine set {engine_set or '(none)'}")
        if not self._runs():
            await self._started()
        child = self._children.get(key)
        if child is None:
            raise EngineDied("the worker is stopping")
        return child.endpoint()

    def remote(self, ref: ModelRef) -> Endpoint:
        """A model behind a URL. Connections are kept and shared."""
        spec = ref.spec
        assert spec.url is not None
        key = None
        if spec.api_key_env is not None:
            key = os.environ.get(spec.api_key_env)
            if not key:
                raise EngineError(
                    f"models.{ref.name}.api_key_env: the environment variable {spec.api_key_env} is not set on this worker; "
                    "set it where the worker starts"
                )
        rates = Rates(spec.requests_per_minute, spec.tokens_per_minute, spec.max_concurrency)
        place = spec.url, key, spec.model if rates != Rates() else "", rates  # publishers limit each model by itself
        if place not in self._remote:
            self._remote[place] = Server(spec.url, key, rates=rates)
        server = self._remote[place]
        prices = spec.price_per_million
        return Endpoint(server, spec.model, uri=spec.model, engine=spec.url, price_per_million=prices, prm=spec.prm or "")

    async def close(self) -> None:
        """Stops everything, whatever is under way, and gives the device back. Nothing can be had afterwards."""
        self._closed = True
        self._wake()
        for task in (self._keeper, self._change[1] if self._change else None):
            if task:
                task.cancel()
        async with self._changing:
            await self._shut()
        for server in self._remote.values():
            await server.close()

    # Whose turn it is. Between a check and what follows from it there is no await.

    def _may_enter(self, ticket: _Ticket) -> bool:
        if self._closed:
            raise EngineDied("the worker is stopping")
        patience = PATIENCE * settings().engine_change_seconds
        if self._device.wanted_for() > patience:
            return False  # until the keeper has given it up
        if self._users == 0:
            return ticket is self._queue[0]
        overdue = time.monotonic() - patience
        return ticket.engine_set == self._set and all(t.engine_set == self._set or t.since > overdue for t in self._queue)

    async def _until(self, ready: Callable[[], bool]) -> None:
        while not ready():
            sleeper = asyncio.get_running_loop().create_future()
            self._sleepers.add(sleeper)
            try:
                await sleeper
            finally:
                self._sleepers.discard(sleeper)

    def _wake(self) -> None:
        for sleeper in self._sleepers:
            if not sleeper.done():
                sleeper.set_result(None)

    # The children. One task makes a change for all who wait for it; who is cancelled while waiting does not stop it.

    def _runs(self) -> bool:
        healthy = self._device.held and all(child.gone() is None for child in self._children.values())
        return self._served == self._set and healthy

    async def _started(self) -> None:
        if self._closed:
            raise EngineDied("the worker is stopping")
        if self._change is None or self._change[1].done() or self._change[0] != self._set:
            if self._change:
                self._change[1].cancel()  # a start whose users have all gone
            self._change = (self._set, asyncio.create_task(self._make(self._set)))
            self._change[1].add_done_callback(_note)
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())
        change = self._change[1]
        try:
            await asyncio.shield(change)
        except asyncio.CancelledError:
            if change.cancelled() and not _being_cancelled():
                raise EngineDied("the engines' start was given up") from None
            raise

    async def _make(self, engine_set: str) -> None:
        async with self._changing:
            holds = ExitStack()  # the device may be long in coming; from its start on each child holds its own
            try:
                keys = _keys(engine_set)
                folders = []
                for model, _, _, prm in keys:
                    folders.append(await asyncio.to_thread(servable_model, model, prm))
                    holds.enter_context(held(folders[-1]))
                plans = {
                    key: Plan(key[0], folder, key[1] or None, 1 / len(keys), key[2], key[3])
                    for key, folder in zip(keys, folders, strict=True)
                }
                if not await self._reloaded(plans):
                    await self._stop_children()
                    if self._device.wanted_for():
                        await self._device.release()
                    await self._device.acquire()
                    for key, plan in plans.items():
                        child = LocalServer(plan, self._launch)
                        self._children[key] = child
                        await child.start()  # one after the other: on a GPU each measures what memory is free
                self._served = engine_set
            except BaseException:
                await to_the_end(self._shut())
                raise
            finally:
                holds.close()

    async def _reloaded(self, plans: dict[Key, Plan]) -> bool:
        """Whether the present children serve these plans now, having loaded other checkpoints' weights.

        A reload takes a second where a start takes half a minute. Children whose plan stays are left alone. Where it cannot be
        done or fails, the children have to be stopped: False.
        """
        self._served = ""
        if not self._device.held or self._device.wanted_for() or any(child.gone() for child in self._children.values()):
            return False
        going = [key for key in self._children if key not in plans]
        coming = [key for key in plans if key not in self._children]
        if not coming or len(going) != len(coming) or len(plans) != len(self._children):
            return False
        for old, new in zip(going, coming, strict=True):
            child, plan = self._children[old], plans[new]
            if old[1:] != new[1:] or plan.engine != "vllm" or plan.prm:
                return False
            if why := await asyncio.to_thread(difference, child.plan.folder, plan.folder):
                log.info("engine is started anew", model=plan.model, instead_of=child.plan.model, since=why)
                return False
        for old, new in zip(going, coming, strict=True):
            try:
                await self._children[old].reload(plans[new])
            except EngineError as error:
                log.warning("weights not loaded: the engines are started anew", model=plans[new].model, error=str(error))
                return False
            self._children[new] = self._children.pop(old)
        return True

    async def _stop_children(self) -> None:
        self._served, children = "", list(self._children.values())
        self._children = {}
        await to_the_end(_stop_all(children))

    async def _shut(self) -> None:
        await self._stop_children()
        await self._device.release()

    def _device_lost(self) -> None:
        self._served = ""
        for child in self._children.values():
            child.end()  # their users see EngineDied; the next one starts them anew, when the device can be had

    async def _keep(self) -> None:
        """Gives the device up when it is wanted or its engines are dead, and nobody here uses it."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            async with self._changing:
                if self._users == 0 and self._has_to_go():
                    log.info("engines stop", engine_set=self._served, wanted=bool(self._device.wanted_for()))
                    try:
                        await self._shut()
                    except Exception as error:  # the ledger is away: the lease runs out by itself
                        log.error("device not given back", error=f"{type(error).__name__}: {error}")
            self._wake()

    def _has_to_go(self) -> bool:
        overdue = self._device.wanted_for() > PATIENCE * settings().engine_change_seconds
        wanted = self._device.wanted_for() > 0 and time.monotonic() - self._idle_since > LINGER_SECONDS
        return wanted or overdue or any(child.gone() for child in self._children.values())


def _keys(engine_set: str) -> list[Key]:
    return [tuple(key) for key in json.loads(engine_set)] if engine_set else []


async def _stop_all(children: list[LocalServer]) -> None:
    await asyncio.gather(*(child.stop() for child in children))


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _note(change: asyncio.Task[None]) -> None:
    if not change.cancelled() and (error := change.exception()):
        log.error("engines did not start", error=str(error))
