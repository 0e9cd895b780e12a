"""The transactions that everything rests on: claim, renew, commit. What an item comes back by stands in `setbacks.py`.

At-least-once delivery, exactly-once effect: each claim raises the item's fence, and whoever comes with an older fence
changes nothing.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, exists, func, insert, null, select, update

from shared.ledger.database import Ledger, now
from shared.ledger.events import add_event
from shared.ledger.ordering import in_order
from shared.ledger.tables import LIVE, ItemState, items, models, partials, records, runs

MAX_ROWS = 1000
"""No transaction writes more rows than this; what is more is staged, and published by one update of the last transaction."""


class LeaseLost(Exception):
    """The item is no longer this worker's: its lease ran out, or its run was paused, cancelled or deleted. Nothing was changed."""


@dataclass(frozen=True)
class Lease:
    """A claimed item: what to do, and the fence under which its result will be taken."""

    item_id: str
    fence: int
    run_id: str
    stage: str
    key: str
    service: str
    engine_set: str
    payload: dict[str, Any]
    attempts: int
    lost: int


@dataclass(frozen=True)
class NewItem:
    """An item to be added to a stage."""

    key: str
    service: str
    payload: dict[str, Any]
    engine_set: str = ""
    phase: int = 0
    max_attempts: int = 3
    deadline_seconds: float = 3600.0


@dataclass(frozen=True)
class NewRecord:
    """A result: `kind` and `key` are unique within an item; `body` is JSON."""

    kind: str
    key: str
    body: dict[str, Any]


@dataclass(frozen=True)
class NewModel:
    """A checkpoint that a train stage made; its name is the stage's."""

    uri: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What an item's handler returns: committed with the item's state in one transaction."""

    records: Sequence[NewRecord] = ()
    model: NewModel | None = None
    summary: dict[str, Any] = field(default_factory=dict)
    """Small figures for the item's event: shown in progress."""
    afterwards: Callable[[], None] | None = None
    """Called by the worker once the result is committed: only then may go what another attempt would need."""


def item_name(run_id: str, stage: str, key: str) -> str:
    """The name by which messages call an item."""
    return f"{run_id}/{stage}/{key}"


def _live_run() -> Any:
    return exists().where(runs.c.id == items.c.run_id, runs.c.state.in_(LIVE), runs.c.paused.is_(False))


def claim(ledger: Ledger, item_id: str, worker: str, lease_seconds: float) -> Lease | None:
    """Takes a queued item of a live run; None if there is nothing to take (done, held, unknown, paused: all the same to a
    worker).
    """
    statement = (
        update(items)
        .where(items.c.id == item_id, items.c.state == ItemState.QUEUED, items.c.not_before <= now(), _live_run())
        .values(
            state=ItemState.RUNNING,
            fence=items.c.fence + 1,
            worker=worker,
            lease_until=now() + lease_seconds,
            deadline_at=now() + items.c.deadline_seconds,
            started_at=func.coalesce(items.c.started_at, now()),
        )
        .returning(items)
    )
    with ledger.write() as connection:
        row = connection.execute(statement).one_or_none()
    if row is None:
        return None
    return Lease(
        row.id, row.fence, row.run_id, row.stage, row.key, row.service, row.engine_set, row.payload, row.attempts, row.lost
    )


def renew(ledger: Ledger, worker: str, lease_seconds: float, holds: Collection[str]) -> set[tuple[str, int]]:
    """Renews the items that a worker holds, in one statement; returns (item, fence) of what it still holds.

    Only what it names: an item that it let go of without the ledger hearing of it (a lost answer, an error in settling it) runs
    out.

    What it thought to hold and does not find here was lost, cancelled or paused, or is past its deadline: it must let go of it.
    """
    if not holds:
        return set()
    held = (
        items.c.id.in_(holds),
        items.c.worker == worker,
        items.c.state == ItemState.RUNNING,
        items.c.deadline_at > now(),
        _live_run(),
    )
    statement = (
        update(items).where(in_order(*held), *held).values(lease_until=now() + lease_seconds).returning(items.c.id, items.c.fence)
    )
    with ledger.write() as connection:
        return {(row.id, row.fence) for row in connection.execute(statement)}


def hold(connection: Connection, lease: Lease, **values: Any) -> Row[Any]:
    """Changes a held item; LeaseLost if its fence is outdated. The row lock makes what follows in the transaction safe."""
    statement = (
        update(items)
        .where(items.c.id == lease.item_id, items.c.fence == lease.fence, items.c.state == ItemState.RUNNING)
        .values(**values)
        .returning(items.c.state, items.c.attempts, items.c.error)
    )
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise LeaseLost(f"{lease.item_id} (fence {lease.fence}) is no longer held")
    return row


def _record_rows(lease: Lease, new: Sequence[NewRecord], published: bool) -> list[dict[str, Any]]:
    return [
        {
            "run_id": lease.run_id,
            "stage": lease.stage,
            "item_id": lease.item_id,
            "fence": lease.fence,
            **record.__dict__,
            "published": published,
        }
        for record in new
    ]


def commit(ledger: Ledger, lease: Lease, result: Result) -> None:
    """Stores an item's result and its `done` in one transaction. Raises LeaseLost, and changes nothing, on an outdated fence.

    More than MAX_ROWS records are staged unpublished in transactions of their own first, and published by the last one.
    """
    bulk = len(result.records) > MAX_ROWS
    if bulk:
        for start in range(0, len(result.records), MAX_ROWS):
            with ledger.write() as connection:
                hold(connection, lease, fence=items.c.fence)
                rows = _record_rows(lease, result.records[start : start + MAX_ROWS], published=False)
                connection.execute(insert(records).values(created_at=now()), rows)
    with ledger.write() as connection:
        hold(connection, lease, state=ItemState.DONE, worker=null(), lease_until=null(), ended_at=now(), error=null())
        if bulk:
            mine = and_(records.c.item_id == lease.item_id, records.c.fence == lease.fence)
            connection.execute(update(records).where(mine).values(published=True))
        elif result.records:
            connection.execute(insert(records).values(created_at=now()), _record_rows(lease, result.records, published=True))
        # what an earlier attempt staged and never published
        connection.execute(delete(records).where(records.c.item_id == lease.item_id, records.c.published.is_(False)))
        if result.model:
            connection.execute(
                insert(models).values(
                    run_id=lease.run_id, name=lease.stage, uri=result.model.uri, body=result.model.body, created_at=now()
                )
            )
        connection.execute(delete(partials).where(partials.c.item_id == lease.item_id))
        add_event(connection, lease.run_id, "item.done", {"item": lease.key, **result.summary}, lease.stage)


def save_partial(ledger: Ledger, lease: Lease, seq: int, body: dict[str, Any], forgiving: bool = False) -> None:
    """Appends work of an unfinished item; a retry goes on from there. Raises LeaseLost on an outdated fence.

    `forgiving`: all of the item got so far, so that how often it was lost before counts no more against it (as `forgive`).
    """
    with ledger.write() as connection:
        hold(connection, lease, forgiven=items.c.lost if forgiving else items.c.forgiven)
        connection.execute(insert(partials).values(item_id=lease.item_id, seq=seq, fence=lease.fence, body=body))


def load_partials(ledger: Ledger, item_id: str) -> list[dict[str, Any]]:
    """What was saved of an unfinished item, in order."""
    with ledger.read() as connection:
        found = connection.execute(select(partials.c.body).where(partials.c.item_id == item_id).order_by(partials.c.seq))
        return list(found.scalars())


def forgive(ledger: Ledger, lease: Lease) -> None:
    """Notes that what a held item did so far outlives its worker (a checkpoint, say): how often it was lost before counts no more
    against it. Raises LeaseLost.
    """
    with ledger.write() as connection:
        hold(connection, lease, forgiven=items.c.lost)


def report_progress(ledger: Ledger, lease: Lease, progress: dict[str, Any]) -> None:
    """Stores how far a held item is (shown in the run's status) and makes an event of it. Raises LeaseLost."""
    with ledger.write() as connection:
        hold(connection, lease, progress=progress)
        add_event(connection, lease.run_id, "item.progress", {"item": lease.key, **progress}, lease.stage)
