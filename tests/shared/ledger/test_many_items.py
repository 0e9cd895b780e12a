"""Stages and runs of many items: small transactions, and whoever dies between two of them leaves nothing that anyone could see."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, event, func, select

from shared.ledger import items as rules
from shared.ledger import opening, runs, setbacks
from shared.ledger.database import Ledger
from shared.ledger.events import read_events
from shared.ledger.items import NewItem, claim
from shared.ledger.opening import open_stage
from shared.ledger.runs import (
    NewStage,
    NotInState,
    cancel_items,
    cancel_run,
    close_stage,
    create_run,
    get_run,
    get_stages,
    half_cancelled,
    move_run,
    set_paused,
    stage_counts,
)
from shared.ledger.tables import RunState, StageState, items

NewRun = Callable[..., str]
MANY, AT_ONCE = 25, 10


class Died(Exception):
    """A process that is no more."""


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few items are many."""
    assert rules.MAX_ROWS == 1000
    for module in (opening, runs, rules, setbacks):
        monkeypatch.setattr(module, "MAX_ROWS", AT_ONCE)


@contextmanager
def dying(ledger: Ledger, after: int, then: Callable[[], object] = lambda: None) -> Iterator[list[int]]:
    """After so many writing transactions the process does `then`, if that is anything, and dies."""
    done: list[int] = []
    write = ledger.write

    @contextmanager
    def counted() -> Iterator[Connection]:
        if len(done) == after:
            ledger.write = write  # type: ignore[method-assign]
            then()
            raise Died
        with write() as connection:
            yield connection
        done.append(1)

    ledger.write = counted  # type: ignore[method-assign]
    try:
        yield done
    finally:
        ledger.write = write  # type: ignore[method-assign]


@contextmanager
def rows_written(ledger: Ledger) -> Iterator[list[int]]:
    """Rows of items that each transaction changed, in order; the one that publishes a stage changes them all, by one update.

    SQLite's driver counts none of a statement that begins WITH: there, nothing is found of an update in order.
    """
    found: list[int] = []

    def begin(connection: Connection) -> None:
        found.append(0)

    def count(connection, cursor, statement, parameters, context, many) -> None:  # type: ignore[no-untyped-def]
        if " items" in statement and not statement.startswith("SELECT"):
            found[-1] += max(0, cursor.rowcount)

    event.listen(ledger._engine, "begin", begin)
    event.listen(ledger._engine, "after_cursor_execute", count)
    yield found
    event.remove(ledger._engine, "begin", begin)
    event.remove(ledger._engine, "after_cursor_execute", count)


def many(count: int = MANY) -> list[NewItem]:
    return [NewItem(key=f"{number:03}", service="searcher", payload={"n": number}) for number in range(count)]


@pytest.fixture
def run(ledger: Ledger) -> str:
    """A running run whose stage `work` waits."""
    made = create_run(ledger, "made", {"name": "made"}, [NewStage("work", "search", ())])[0]
    close_stage(ledger, made, "preflight", StageState.DONE)
    move_run(ledger, made, RunState.CHECKING, RunState.RUNNING)
    return made


def by_state(ledger: Ledger, run: str) -> dict[str, int]:
    with ledger.read() as connection:
        query = select(items.c.state, func.count()).where(items.c.run_id == run).group_by(items.c.state)
        return {row[0]: row[1] for row in connection.execute(query)}


def stage_state(ledger: Ledger, run: str) -> str:
    return str(get_stages(ledger, run)[1].state)


def test_a_large_stage_opens_in_small_transactions_and_all_at_once(ledger: Ledger, run: str) -> None:
    with rows_written(ledger) as written:
        assert open_stage(ledger, run, "work", many())
    assert [rows for rows in written if rows] == [10, 10, 5, MANY]
    assert stage_counts(ledger, run)["work"]["queued"] == MANY
    with ledger.read() as connection:
        places = connection.execute(select(items.c.key, items.c.place).order_by(items.c.place)).all()
    assert [tuple(row) for row in places] == [(f"{number:03}", number) for number in range(MANY)]
    [opened] = [event for event in read_events(ledger, run_id=run) if event.type == "stage.open"]
    assert opened.body == {"items": MANY}


@pytest.mark.parametrize("after", range(6))
def test_who_dies_while_opening_leaves_a_stage_that_another_opens(ledger: Ledger, run: str, after: int) -> None:
    with dying(ledger, after), pytest.raises(Died):
        open_stage(ledger, run, "work", many())
    assert stage_state(ledger, run) == "waiting"
    assert stage_counts(ledger, run) == {}  # nobody sees what is staged
    assert claim(ledger, f"{run}/work/000", "w", 30) is None
    assert open_stage(ledger, run, "work", many(7))
    assert by_state(ledger, run) == {"queued": 7}
    assert claim(ledger, f"{run}/work/000", "w", 30) is not None


@pytest.mark.parametrize("after", range(6))
def test_of_two_who_open_a_stage_one_does(ledger: Ledger, run: str, after: int) -> None:
    """The first loses the conductor's lock on its way; the second opens the stage; then the first goes on, after all."""
    write = ledger.write
    done: list[int] = []

    @contextmanager
    def interrupted() -> Iterator[Connection]:
        if len(done) == after:
            ledger.write = write  # type: ignore[method-assign]
            assert open_stage(ledger, run, "work", many(7))
        with write() as connection:
            yield connection
        done.append(1)

    ledger.write = interrupted  # type: ignore[method-assign]
    assert not open_stage(ledger, run, "work", many())
    assert by_state(ledger, run) == {"queued": 7}
    assert [event.body for event in read_events(ledger, run_id=run) if event.type == "stage.open"] == [{"items": 7}]


@pytest.mark.parametrize("after", range(6))
def test_a_run_that_is_cancelled_while_a_stage_opens_has_no_open_items(ledger: Ledger, run: str, after: int) -> None:
    with dying(ledger, after, then=lambda: cancel_run(ledger, run)), pytest.raises(Died):
        open_stage(ledger, run, "work", many())
    assert not open_stage(ledger, run, "work", many())
    assert set(by_state(ledger, run)) <= {"cancelled"}
    assert stage_state(ledger, run) == "cancelled" and half_cancelled(ledger) == []


def test_a_stage_of_an_ended_run_is_not_opened(ledger: Ledger, run: str) -> None:
    cancel_run(ledger, run)
    assert not open_stage(ledger, run, "work", many())
    assert by_state(ledger, run) == {}


@pytest.mark.parametrize("after", range(7))
def test_who_dies_while_cancelling_leaves_it_to_the_conductor(ledger: Ledger, run: str, after: int) -> None:
    open_stage(ledger, run, "work", many())
    held = [claim(ledger, f"{run}/work/{number:03}", "w", 30) for number in range(15)]
    assert all(held)
    with dying(ledger, after), pytest.raises(Died):
        cancel_run(ledger, run)
    if after < 2:  # nothing was done (the first looks for a run that is checking): the run lives
        assert get_run(ledger, run).state == "running" and half_cancelled(ledger) == []  # type: ignore[union-attr]
        return
    assert get_run(ledger, run).state == "cancelled"  # type: ignore[union-attr]
    assert claim(ledger, f"{run}/work/024", "w", 30) is None  # whatever is still queued, nobody gets it
    assert rules.renew(ledger, "w", 30, {lease.item_id for lease in held if lease}) == set()
    for run_id in half_cancelled(ledger):  # a pass of the conductor
        cancel_items(ledger, run_id)
    assert by_state(ledger, run) == {"cancelled": MANY} and half_cancelled(ledger) == []
    with pytest.raises(NotInState):
        cancel_run(ledger, run)


def test_cancelling_and_pausing_take_small_transactions(ledger: Ledger, run: str) -> None:
    open_stage(ledger, run, "work", many())
    for number in range(MANY):
        claim(ledger, f"{run}/work/{number:03}", "w", 30)
    with rows_written(ledger) as written:
        set_paused(ledger, run, True)
        assert by_state(ledger, run) == {"queued": MANY}
        cancel_run(ledger, run)
    assert ledger.sqlite or [rows for rows in written if rows] == [10, 10, 5] * 2
    assert by_state(ledger, run) == {"cancelled": MANY}


def test_who_dies_while_pausing_leaves_a_paused_run(ledger: Ledger, run: str) -> None:
    open_stage(ledger, run, "work", many())
    names = {f"{run}/work/{number:03}" for number in range(MANY)}
    for name in names:
        claim(ledger, name, "w", 30)
    with dying(ledger, 2), pytest.raises(Died):
        set_paused(ledger, run, True)
    assert Counter(by_state(ledger, run)) == {"queued": 10, "running": 15}
    assert rules.renew(ledger, "w", 30, names) == set()  # the worker finds out, and gives the rest back
    set_paused(ledger, run, False)
    assert claim(ledger, sorted(names)[0], "w", 30) is not None


def test_a_sweep_takes_small_transactions(ledger: Ledger, run: str) -> None:
    open_stage(ledger, run, "work", many())
    for number in range(MANY):
        claim(ledger, f"{run}/work/{number:03}", "w", -1)
    with rows_written(ledger) as written:
        assert [len(setbacks.sweep(ledger)) for _ in range(4)] == [10, 10, 5, 0]
    assert ledger.sqlite or [rows for rows in written if rows] == [10, 10, 5]
    assert by_state(ledger, run) == {"queued": MANY}
