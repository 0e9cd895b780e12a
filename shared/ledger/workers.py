"""Who works: workers' heartbeats and the state of the queues, as the ledger counts them."""

from typing import Any

from sqlalchemy import Row, and_, case, func, insert, select, update

from shared.ledger.database import Ledger, now
from shared.ledger.tables import LIVE, ItemState, items, runs, workers


def beat(ledger: Ledger, name: str, services: str, slots: int) -> None:
    """A worker's sign of life. `services` are its queues, joined by commas."""
    with ledger.write() as connection:
        seen = connection.execute(update(workers).where(workers.c.name == name).values(seen_at=now(), slots=slots))
        if not seen.rowcount:
            connection.execute(insert(workers).values(name=name, services=services, slots=slots, seen_at=now()))


def live_workers(ledger: Ledger, within_seconds: float = 30.0) -> list[Row[Any]]:
    """Workers seen lately."""
    with ledger.read() as connection:
        return list(connection.execute(select(workers).where(workers.c.seen_at > now() - within_seconds).order_by(workers.c.name)))


def queue_counts(ledger: Ledger) -> list[Row[Any]]:
    """Per service, over live and unpaused runs: `queued` (rung or not), `rung` (of these, rung and unclaimed) and `running`
    items.
    """
    queued, running = items.c.state == ItemState.QUEUED, items.c.state == ItemState.RUNNING
    sums = [
        func.sum(case((condition, 1), else_=0)).label(name)
        for name, condition in (("queued", queued), ("rung", and_(queued, items.c.rung_at.is_not(None))), ("running", running))
    ]
    query = (
        select(items.c.service, *sums)
        .join(runs, runs.c.id == items.c.run_id)
        .where(items.c.state.in_((ItemState.QUEUED, ItemState.RUNNING)), runs.c.state.in_(LIVE), runs.c.paused.is_(False))
        .group_by(items.c.service)
    )
    with ledger.read() as connection:
        return list(connection.execute(query))
