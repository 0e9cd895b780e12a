"""Events of runs, for whoever watches.

Ids are given before transactions commit, so a reader that goes by id alone can step over one that commits late. On
PostgreSQL events
are therefore ordered by (transaction, id) and read up to the oldest open transaction; SQLite's writers come one after
another anyway.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, insert, literal_column, select, tuple_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from shared.ledger.database import Ledger, now
from shared.ledger.tables import events


class current_xid(FunctionElement[int]):
    """The writing transaction's number; 0 on SQLite."""

    type = BigInteger()
    inherit_cache = True


@compiles(current_xid, "sqlite")
def _sqlite_xid(element: current_xid, compiler: Any, **kw: Any) -> str:
    return "0"


@compiles(current_xid, "postgresql")
def _postgresql_xid(element: current_xid, compiler: Any, **kw: Any) -> str:
    return "pg_current_xact_id()::text::bigint"


@dataclass(frozen=True)
class Event:
    """One event; `cursor` is what a reader gives back to go on after it."""

    cursor: str
    run_id: str
    stage: str | None
    type: str
    body: dict[str, Any]
    created_at: float


def add_event(connection: Connection, run_id: str, type: str, body: dict[str, Any], stage: str | None = None) -> None:
    """Adds an event inside the caller's transaction: it is seen when, and only if, that commits."""
    connection.execute(insert(events).values(xid=current_xid(), run_id=run_id, stage=stage, type=type, body=body, created_at=now()))


def read_events(ledger: Ledger, after: str = "0-0", run_id: str | None = None, limit: int = 500) -> list[Event]:
    """Events after a cursor, oldest first. Raises ValueError on a malformed cursor."""
    xid, _, number = after.partition("-")
    if not (xid.isdigit() and number.isdigit()):
        raise ValueError(f"event cursor {after!r}: expected NUMBER-NUMBER as in an event's id")
    query = select(events).where(tuple_(events.c.xid, events.c.id) > tuple_(int(xid), int(number)))
    if run_id is not None:
        query = query.where(events.c.run_id == run_id)
    if not ledger.sqlite:
        query = query.where(events.c.xid < literal_column("pg_snapshot_xmin(pg_current_snapshot())::text::bigint"))
    with ledger.read() as connection:
        rows = connection.execute(query.order_by(events.c.xid, events.c.id).limit(limit)).all()
    return [Event(f"{row.xid}-{row.id}", row.run_id, row.stage, row.type, row.body, row.created_at) for row in rows]


def last_cursor(ledger: Ledger) -> str:
    """The newest readable event's cursor: where a tailer that wants only news begins."""
    query = select(events.c.xid, events.c.id)
    if not ledger.sqlite:
        query = query.where(events.c.xid < literal_column("pg_snapshot_xmin(pg_current_snapshot())::text::bigint"))
    with ledger.read() as connection:
        row = connection.execute(query.order_by(events.c.xid.desc(), events.c.id.desc()).limit(1)).one_or_none()
    return f"{row.xid}-{row.id}" if row else "0-0"
