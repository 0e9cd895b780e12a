"""A worker's inside on a real ledger: what becomes of an item when its handler succeeds, fails, hangs, is lost or is stopped."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from shared.contracts.recipe import Recipe
from shared.engines.client import EndpointDown, EngineDied, SpendCapReached
from shared.ledger.database import Ledger
from shared.ledger.items import NewItem, NewRecord, Result
from shared.ledger.opening import open_stage
from shared.ledger.records import record_keys
from shared.ledger.runs import NewStage, cancel_run, close_stage, create_run, move_run, set_paused
from shared.ledger.tables import RunState, StageState, items
from shared.settings import Settings
from shared.work import registry
from shared.work.context import Work
from shared.work.registry import Hopeless
from shared.work.runtime import Runtime

RECIPE = Recipe.model_validate(
    {
        "name": "made",
        "models": {"far": {"model": "m", "url": "http://127.0.0.1:9/v1"}},
        "problems": {"few": {"generator": "arithmetic", "count": 1}},
        "stages": {"work": {"kind": "search", "policy": "far", "problems": "few"}},
    }
)
Body = Callable[[Work], Awaitable[Result]]


class Bench:
    """A worker, a run of one open stage, and a handler that a test may choose."""

    def __init__(self, folder: Path) -> None:
        url = f"sqlite:///{folder}/ledger.db"
        self.ledger = Ledger(url)
        self.ledger.migrate()
        self.run = create_run(self.ledger, "made", RECIPE.model_dump(mode="json"), [NewStage("work", "search", ())])[0]
        close_stage(self.ledger, self.run, "preflight", StageState.DONE)
        move_run(self.ledger, self.run, RunState.CHECKING, RunState.RUNNING)
        new = [NewItem(str(n), "searcher", {"version": 1}) for n in range(40)]
        open_stage(self.ledger, self.run, "work", new)
        settings = Settings(database_url=url, lease_seconds=5, renew_seconds=0.05)
        self.runtime = Runtime(settings, "searcher", 40)
        self.runtime.start()
        self.body: Body = self.never
        self.began = threading.Event()
        self._threads = ThreadPoolExecutor(40)
        self._closed = False

    async def never(self, work: Work) -> Result:
        self.began.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    def start(self, key: str = "0") -> Future[None]:
        """Rings the bell for an item, as a Celery thread does."""
        return self._threads.submit(self.runtime.work, f"{self.run}/work/{key}")

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.runtime.stop()
            self.runtime.close()
            self._threads.shutdown()

    def item(self, key: str = "0") -> Any:
        with self.ledger.read() as connection:
            return connection.execute(select(items).where(items.c.run_id == self.run, items.c.key == key)).one()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(tmp_path)
    monkeypatch.setitem(registry._handlers, "search", lambda work: made.body(work))
    yield made
    made.close()


async def succeeds(work: Work) -> Result:
    return Result([NewRecord("tree", work.lease.key, {"seed": work.seed})])


def test_a_result_is_committed_and_a_second_ring_is_no_matter(bench: Bench) -> None:
    bench.body = succeeds
    bench.start().result(20)
    bench.start().result(20)
    assert (bench.item().state, bench.item().fence) == ("done", 1)
    assert record_keys(bench.ledger, bench.run, "work", "tree") == ["0"]


@pytest.mark.parametrize("lost", [False, True])
def test_what_only_another_attempt_needs_goes_once_the_result_is_taken(bench: Bench, lost: bool) -> None:
    gone: list[str] = []

    async def ends(work: Work) -> Result:
        if lost:
            with bench.ledger.write() as connection:
                connection.execute(update(items).values(fence=items.c.fence + 1))
        return Result([NewRecord("tree", work.lease.key, {})], afterwards=lambda: gone.append(bench.item().state))

    bench.body = ends
    bench.start().result(20)
    assert gone == ([] if lost else ["done"])


def test_closing_waits_until_what_was_in_hand_is_given_back(bench: Bench) -> None:
    """A caller of `work` on a loop that is gone would wait for ever."""
    callers = [bench.start(str(n)) for n in range(40)]
    assert bench.began.wait(20)
    bench.close()
    for caller in callers:
        caller.result(0)
    assert {bench.item(str(n)).state for n in range(40)} == {"queued"}


def test_many_items_advance_together_in_one_loop(bench: Bench) -> None:
    together = asyncio.Barrier(40)

    async def meets_all_others(work: Work) -> Result:
        await together.wait()  # passes only if all forty are in hand at once
        return await succeeds(work)

    bench.body = meets_all_others
    for done in [bench.start(str(n)) for n in range(40)]:
        done.result(30)
    assert len(record_keys(bench.ledger, bench.run, "work", "tree")) == 40


@pytest.mark.parametrize(
    ("error", "state", "attempts", "lost", "kept"),
    [
        (ValueError("no such step"), "queued", 1, 0, "ValueError: no such step"),
        (Hopeless("models.far: no such model"), "dead", 1, 0, "models.far: no such model"),
        (EngineDied("the engine went"), "queued", 0, 1, None),
        (ExceptionGroup("g", [ValueError("first"), ExceptionGroup("h", [EngineDied("went")])]), "queued", 0, 1, None),
        (ExceptionGroup("g", [ValueError("first"), Hopeless("no such model")]), "dead", 1, 0, "no such model"),
        (ExceptionGroup("g", [ValueError("first"), TypeError("second")]), "queued", 1, 0, "ValueError: first"),
    ],
    ids=["an error", "a hopeless error", "a dead engine", "an engine dies beside", "no hope beside", "two errors"],
)
def test_what_a_handler_raises_decides(bench: Bench, error: Exception, state: str, attempts: int, lost: int, kept: str) -> None:
    async def raises(work: Work) -> Result:
        raise error

    bench.body = raises
    bench.start().result(20)
    item = bench.item()
    assert (item.state, item.attempts, item.lost, item.error) == (state, attempts, lost, kept)


@pytest.mark.parametrize(("how", "state"), [("cancelled", "cancelled"), ("paused", "queued")])
def test_a_cancelled_or_paused_run_stops_the_work_in_hand(bench: Bench, how: str, state: str) -> None:
    work = bench.start()
    assert bench.began.wait(20)
    cancel_run(bench.ledger, bench.run) if how == "cancelled" else set_paused(bench.ledger, bench.run, True)
    work.result(20)
    item = bench.item()
    assert (item.state, item.attempts, item.lost) == (state, 0, 0)


def test_stopping_gives_leases_back_at_no_cost(bench: Bench) -> None:
    work = bench.start()
    assert bench.began.wait(20)
    bench.runtime.stop()
    work.result(20)
    item = bench.item()
    assert (item.state, item.attempts, item.lost, item.worker) == ("queued", 0, 0, None)


def test_leases_are_kept_while_the_work_goes_on(bench: Bench) -> None:
    work = bench.start()
    assert bench.began.wait(20)
    first = bench.item().lease_until
    renewed = threading.Event()

    def watch() -> None:
        while bench.item().lease_until <= first:
            continue
        renewed.set()

    threading.Thread(target=watch, daemon=True).start()
    assert renewed.wait(20)
    assert not work.done()


def test_the_seed_is_the_same_on_every_attempt_and_differs_between_items(bench: Bench) -> None:
    seeds: dict[tuple[str, int], int] = {}

    async def notes(work: Work) -> Result:
        seeds[work.lease.key, work.lease.fence] = work.seed
        raise EngineDied("again")

    bench.body = notes
    bench.start("0").result(20)
    bench.start("1").result(20)
    with bench.ledger.write() as connection:
        connection.execute(items.update().values(not_before=0.0))
    bench.start("0").result(20)
    assert seeds["0", 1] == seeds["0", 2] != seeds["1", 1]


def test_an_endpoint_that_is_down_costs_no_attempt_and_the_item_waits(bench: Bench) -> None:
    async def down(work: Work) -> Result:
        raise EndpointDown("http://far/v1 is down, and is tried again in 30 s: no route", 30.0)

    bench.body = down
    bench.start().result(20)
    item = bench.item()
    assert (item.state, item.attempts, item.lost) == ("queued", 0, 0) and "no route" in item.error
    bench.body = succeeds
    bench.start().result(20)
    assert bench.item().state == "queued", "not before its time"
    with bench.ledger.write() as connection:
        connection.execute(update(items).values(not_before=0.0))
    bench.start().result(20)
    assert bench.item().state == "done"


def test_the_spend_cap_gives_the_item_back_unharmed(bench: Bench) -> None:
    async def capped(work: Work) -> Result:
        raise SpendCapReached("no room")

    bench.body = capped
    bench.start().result(20)
    assert (bench.item().state, bench.item().attempts, bench.item().lost) == ("queued", 0, 0)
