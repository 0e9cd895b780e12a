"""What the conductor asks and notes when it rings the queues."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, and_, case, exists, func, insert, null, or_, select, update

from shared.ledger.database import Ledger, now
from shared.ledger.ordering import in_order
from shared.ledger.setbacks import LOST
from shared.ledger.tables import LIVE, ItemState, items, pools, runs


@dataclass(frozen=True)
class Candidate:
    """An item that may be rung."""

    item_id: str
    run_id: str
    engine_set: str
    lost: int
    """How often since it last did anything that lasts."""
    rung: bool
    """Rung before, and not claimed."""


def _eligible() -> Any:
    """Queued items of live runs whose wait is over, of their stage's first phase that is not through."""
    earlier = items.alias("earlier")
    blocked = exists().where(
        earlier.c.run_id == items.c.run_id,
        earlier.c.stage == items.c.stage,
        earlier.c.phase < items.c.phase,
        earlier.c.state.in_((ItemState.QUEUED, ItemState.RUNNING)),
    )
    return and_(
        items.c.state == ItemState.QUEUED,
        items.c.not_before <= now(),
        runs.c.state.in_(LIVE),
        runs.c.paused.is_(False),
        or_(items.c.phase == 0, ~blocked),
    )


def in_flight(ledger: Ledger, services: list[str], fresh_seconds: float) -> list[Row[Any]]:
    """Items rung within `fresh_seconds` or running, counted by service, run and engine set.

    `suspects` counts those that were lost twice or oftener since they last did anything that lasts, `lost` is how often at most
    (0: there are none); `cleared` counts those that would be suspects, had they not.
    """
    fresh = and_(items.c.state == ItemState.QUEUED, items.c.rung_at > now() - fresh_seconds)
    running = items.c.state == ItemState.RUNNING
    suspects = func.sum(case((LOST >= 2, 1), else_=0)).label("suspects")
    lost = func.max(case((LOST >= 2, LOST), else_=0)).label("lost")
    cleared = func.sum(case((and_(items.c.lost >= 2, LOST < 2), 1), else_=0)).label("cleared")
    query = (
        select(items.c.service, items.c.run_id, items.c.engine_set, func.count().label("n"), suspects, lost, cleared)
        .where(items.c.service.in_(services), or_(fresh, running))
        .group_by(items.c.service, items.c.run_id, items.c.engine_set)
    )
    with ledger.read() as connection:
        return list(connection.execute(query))


def waiting_sets(ledger: Ledger, services: list[str]) -> list[str]:
    """Engine sets of the eligible items of some queues, the longest-waiting run's first; '' (no engine) left out."""
    query = (
        select(items.c.engine_set, func.min(runs.c.created_at).label("first"))
        .join(runs, runs.c.id == items.c.run_id)
        .where(items.c.service.in_(services), items.c.engine_set != "", _eligible())
        .group_by(items.c.engine_set)
        .order_by("first", items.c.engine_set)
    )
    with ledger.read() as connection:
        return [row.engine_set for row in connection.execute(query)]


def candidates(ledger: Ledger, service: str, run_id: str, engine_set: str, fresh_seconds: float, limit: int) -> list[Candidate]:
    """Eligible items of one run and queue that need no engine or the given set, not rung within `fresh_seconds`, in their order."""
    stale = or_(items.c.rung_at.is_(None), items.c.rung_at <= now() - fresh_seconds)
    query = (
        select(items.c.id, items.c.run_id, items.c.engine_set, LOST.label("lost"), items.c.rung_at)
        .join(runs, runs.c.id == items.c.run_id)
        .where(items.c.service == service, items.c.run_id == run_id, items.c.engine_set.in_(("", engine_set)), _eligible(), stale)
        .order_by(LOST, items.c.place)
        .limit(limit)
    )
    with ledger.read() as connection:
        rows = connection.execute(query).all()
    return [Candidate(row.id, row.run_id, row.engine_set, row.lost, row.rung_at is not None) for row in rows]


def mark_rung(ledger: Ledger, item_ids: list[str]) -> set[str]:
    """Notes that items are being rung; returns those that are still queued. Ring them after this has committed, never before."""
    queued = and_(items.c.id.in_(item_ids), items.c.state == ItemState.QUEUED)
    with ledger.write() as connection:
        return set(
            connection.execute(update(items).where(in_order(queued), queued).values(rung_at=now()).returning(items.c.id)).scalars()
        )


def unring(ledger: Ledger, item_ids: list[str]) -> None:
    """Takes the note back where the broker was away: rung again at the next pass."""
    queued = and_(items.c.id.in_(item_ids), items.c.state == ItemState.QUEUED)
    with ledger.write() as connection:
        connection.execute(update(items).where(in_order(queued), queued).values(rung_at=null()))


def pool_set(ledger: Ledger, pool: str) -> tuple[str, float]:
    """The engine set that a pool serves ('' for none yet) and for how many seconds."""
    with ledger.read() as connection:
        row = connection.execute(
            select(pools.c.engine_set, (now() - pools.c.since).label("age")).where(pools.c.name == pool)
        ).one_or_none()
    return (row.engine_set, float(row.age)) if row else ("", 0.0)


def change_pool_set(ledger: Ledger, pool: str, engine_set: str) -> None:
    """Notes that a pool serves another engine set from now on."""
    with ledger.write() as connection:
        changed = connection.execute(update(pools).where(pools.c.name == pool).values(engine_set=engine_set, since=now()))
        if not changed.rowcount:
            connection.execute(insert(pools).values(name=pool, engine_set=engine_set, since=now()))
