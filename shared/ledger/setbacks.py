"""How a claimed item comes back without a result: fail, release, lose, sweep."""

from typing import Any

from sqlalchemy import and_, case, delete, literal, null, true, update

from shared.ledger.database import Ledger, now
from shared.ledger.events import add_event
from shared.ledger.items import MAX_ROWS, Lease, hold
from shared.ledger.ordering import in_order
from shared.ledger.tables import ItemState, items, records
from shared.ledger.written import as_text

RETRY_SECONDS = 2.0
"""Wait after a first failure or a second loss; doubles each time, up to a minute."""
LOST = items.c.lost - items.c.forgiven
"""How often an item was lost since it last did anything that lasts: many times, and it may be what kills its workers."""


def fail(ledger: Ledger, lease: Lease, error: str, hopeless: bool = False) -> ItemState:
    """Counts a failed attempt: back to the queue after a growing wait, or dead (at once if hopeless) with its error kept.
    Raises LeaseLost.
    """
    attempts = items.c.attempts + 1
    dead = true() if hopeless else attempts >= items.c.max_attempts
    error = as_text(error)
    with ledger.write() as connection:
        row = hold(
            connection,
            lease,
            state=case((dead, literal(ItemState.DEAD.value)), else_=literal(ItemState.QUEUED.value)),
            attempts=attempts,
            error=error[:10_000],
            worker=null(),
            lease_until=null(),
            rung_at=null(),
            not_before=now() + _wait(items.c.attempts),
            ended_at=case((dead, now()), else_=null()),
        )
        state = ItemState(row.state)
        add_event(
            connection,
            lease.run_id,
            f"item.{'dead' if state is ItemState.DEAD else 'failed'}",
            {"item": lease.key, "error": error[:2000]},
            lease.stage,
        )
    return state


def release(ledger: Ledger, lease: Lease, seconds: float = 0.0, why: str | None = None) -> None:
    """Gives a held item back unharmed (a worker that stops in order, an endpoint that is down): costs no attempt.

    It is not taken again for so many seconds. An outdated fence is no matter, and an item past its deadline is left for `sweep`,
    which counts it as hung.
    """
    mine = and_(
        items.c.id == lease.item_id, items.c.fence == lease.fence, items.c.state == ItemState.RUNNING, items.c.deadline_at > now()
    )
    with ledger.write() as connection:
        free = update(items).where(mine).values(state=ItemState.QUEUED, worker=null(), lease_until=null(), rung_at=null())
        if seconds:
            free = free.values(not_before=now() + seconds, error=as_text(why) if why else null())
        connection.execute(free)


def lose(ledger: Ledger, lease: Lease) -> None:
    """Gives a held item back whose engine died under it: counted as lost, as when its worker dies, never as its error.
    Raises LeaseLost.
    """
    with ledger.write() as connection:
        hold(
            connection,
            lease,
            state=ItemState.QUEUED,
            lost=items.c.lost + 1,
            worker=null(),
            lease_until=null(),
            rung_at=null(),
            not_before=now() + _wait(LOST),
        )
        add_event(connection, lease.run_id, "item.lost", {"item": lease.key}, lease.stage)


def _wait(count: Any) -> Any:
    """RETRY_SECONDS * 2^count, at most 60 s, in SQL that both databases know."""
    return case(*[(count <= n, RETRY_SECONDS * 2**n) for n in range(5)], else_=60.0)


def sweep(ledger: Ledger) -> list[str]:
    """Puts items whose lease ran out back into the queue; returns their names.

    Past its deadline an item was hung: that is a failed attempt. Otherwise its worker died: counted as lost, never as an error.
    """
    expired = and_(items.c.state == ItemState.RUNNING, items.c.lease_until < now())
    hung = items.c.deadline_at <= now()
    attempts = items.c.attempts + case((hung, 1), else_=0)
    dead = and_(hung, attempts >= items.c.max_attempts)
    statement = (
        update(items)
        .where(in_order(expired, limit=MAX_ROWS), expired)
        .values(
            state=case((dead, literal(ItemState.DEAD.value)), else_=literal(ItemState.QUEUED.value)),
            attempts=attempts,
            lost=items.c.lost + case((hung, 0), else_=1),
            error=case((hung, literal("hung: no result within its deadline")), else_=items.c.error),
            ended_at=case((dead, now()), else_=null()),
            worker=null(),
            lease_until=null(),
            rung_at=null(),
            not_before=now() + case((LOST == 0, 0.0), else_=_wait(LOST - 1)),
        )
        .returning(items.c.id, items.c.run_id, items.c.stage, items.c.key, items.c.lost, items.c.state, hung.label("hung"))
    )
    with ledger.write() as connection:
        rows = connection.execute(statement).all()
        for row in rows:
            connection.execute(delete(records).where(records.c.item_id == row.id, records.c.published.is_(False)))
            kind = "item.dead" if row.state == ItemState.DEAD else "item.failed" if row.hung else "item.lost"
            add_event(connection, row.run_id, kind, {"item": row.key, "lost": row.lost}, row.stage)
    return [row.id for row in rows]
