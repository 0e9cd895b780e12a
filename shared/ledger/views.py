"""What people look at: items one by one, progress, counts over all runs."""

from typing import Any

from sqlalchemy import Row, and_, case, func, select, tuple_

from shared.ledger.database import Ledger
from shared.ledger.tables import LIVE, ItemState, events, items, runs

SHOWN = 50
"""Running items whose progress is shown, at most."""


def page_items(
    ledger: Ledger, run_id: str, stage: str | None, state: str | None, after: tuple[str, int, str] | None, limit: int
) -> list[Row[Any]]:
    """A run's items by (stage, place, key), after the one given."""
    query = select(items).where(items.c.run_id == run_id)
    for column, value in ((items.c.stage, stage), (items.c.state, state)):
        if value is not None:
            query = query.where(column == value)
    order = (items.c.stage, items.c.place, items.c.key)
    if after is not None:
        query = query.where(tuple_(*order) > tuple_(*after))
    with ledger.read() as connection:
        return list(connection.execute(query.order_by(*order).limit(limit)))


def running_progress(ledger: Ledger, run_id: str) -> dict[str, dict[str, Any]]:
    """Stage -> key of a running item -> what it last said of its progress."""
    running = and_(items.c.run_id == run_id, items.c.state == ItemState.RUNNING)
    query = select(items.c.stage, items.c.key, items.c.progress).where(running).order_by(items.c.stage, items.c.place).limit(SHOWN)
    found: dict[str, dict[str, Any]] = {}
    with ledger.read() as connection:
        for row in connection.execute(query):
            if row.progress is not None:
                found.setdefault(row.stage, {})[row.key] = row.progress
    return found


def run_counts(ledger: Ledger) -> dict[str, int]:
    """State -> number of runs; live runs that are paused are counted as `paused`."""
    state = case((and_(runs.c.paused, runs.c.state.in_(LIVE)), "paused"), else_=runs.c.state).label("shown")
    shown = select(state).subquery()
    with ledger.read() as connection:
        return {
            row.shown: row.n for row in connection.execute(select(shown.c.shown, func.count().label("n")).group_by(shown.c.shown))
        }


def newest_cursor(ledger: Ledger, run_id: str) -> str | None:
    """Cursor of a run's newest event, even if older transactions are still open."""
    query = select(events.c.xid, events.c.id).where(events.c.run_id == run_id).order_by(events.c.xid.desc(), events.c.id.desc())
    with ledger.read() as connection:
        row = connection.execute(query.limit(1)).one_or_none()
    return f"{row.xid}-{row.id}" if row else None
