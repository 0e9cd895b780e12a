"""Opening a stage with its items, however many: staged in small transactions, published by the one that opens it.

A waiting stage whose items are being staged has an `opened_at`: the last sign of life of whoever stages them, and a fence: every
batch moves it on by compare-and-set. A conductor that takes over moves it, too, and clears what was staged, so that of two only one
goes on, and what a dead one left is never published.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, insert, select, update

from shared.ledger.database import Ledger, now
from shared.ledger.events import add_event
from shared.ledger.items import MAX_ROWS, NewItem, item_name
from shared.ledger.tables import LIVE, ItemState, StageState, items, runs, stages


class _TakenOver(Exception):
    """Somebody else opens the stage, or its run has ended."""


def open_stage(ledger: Ledger, run_id: str, name: str, new: Sequence[NewItem]) -> bool:
    """waiting -> open, with its items queued by the same transaction. False if somebody else did it, or the run has ended."""
    rows = [_row(run_id, name, place, item) for place, item in enumerate(new)]
    try:
        stamp = _take(ledger, run_id, name)
        stamp = _clear(ledger, run_id, name, stamp)
        for start in range(0, len(rows), MAX_ROWS):
            with ledger.write() as connection:
                stamp = _go_on(connection, run_id, name, stamp)
                connection.execute(insert(items), rows[start : start + MAX_ROWS])
        with ledger.write() as connection:
            _go_on(connection, run_id, name, stamp, state=StageState.OPEN)
            connection.execute(update(items).where(_staged(run_id, name)).values(state=ItemState.QUEUED))
            add_event(connection, run_id, "stage.open", {"items": len(rows)}, name)
    except _TakenOver:
        return False
    return True


def _row(run_id: str, stage: str, place: int, item: NewItem) -> dict[str, Any]:
    about = {"id": item_name(run_id, stage, item.key), "run_id": run_id, "stage": stage, "place": place}
    return {**about, **item.__dict__, "state": ItemState.STAGED, "fence": 0, "attempts": 0, "lost": 0, "not_before": 0.0}


def _staged(run_id: str, name: str) -> ColumnElement[bool]:
    return and_(items.c.run_id == run_id, items.c.stage == name, items.c.state == ItemState.STAGED)


def _waiting(run_id: str, name: str) -> ColumnElement[bool]:
    live = exists().where(runs.c.id == run_id, runs.c.state.in_(LIVE))
    return and_(stages.c.run_id == run_id, stages.c.name == name, stages.c.state == StageState.WAITING, live)


def _take(ledger: Ledger, run_id: str, name: str) -> float:
    """Becomes the one who stages; returns the first stamp."""
    with ledger.write() as connection:
        return _move(connection, _waiting(run_id, name))


def _go_on(connection: Connection, run_id: str, name: str, stamp: float, **values: Any) -> float:
    """Shows a sign of life of whoever holds `stamp`; returns the next. The row lock makes what follows in the transaction safe."""
    return _move(connection, and_(_waiting(run_id, name), stages.c.opened_at == stamp), **values)


def _move(connection: Connection, which: ColumnElement[bool], **values: Any) -> float:
    moved = update(stages).where(which).values(opened_at=now(), **values).returning(stages.c.opened_at)
    stamp = connection.execute(moved).scalar_one_or_none()
    if stamp is None:
        raise _TakenOver
    return float(stamp)


def _clear(ledger: Ledger, run_id: str, name: str, stamp: float) -> float:
    """Deletes what another began to stage, MAX_ROWS a transaction."""
    while True:
        batch = select(items.c.id).where(_staged(run_id, name)).limit(MAX_ROWS).scalar_subquery()
        with ledger.write() as connection:
            stamp = _go_on(connection, run_id, name, stamp)
            if connection.execute(delete(items).where(items.c.id.in_(batch))).rowcount == 0:
                return stamp
