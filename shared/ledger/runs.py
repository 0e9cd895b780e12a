"""Runs and stages: created by the gateway, moved on by the conductor. Every transition is compare-and-set."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, exists, func, insert, null, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from shared.contracts.recipe import PREFLIGHT
from shared.ledger.database import Ledger, now
from shared.ledger.events import add_event
from shared.ledger.items import MAX_ROWS
from shared.ledger.ordering import in_order
from shared.ledger.tables import (
    ENDED,
    LIVE,
    ItemState,
    RunState,
    StageState,
    events,
    items,
    models,
    problem_sets,
    records,
    runs,
    stages,
    usage,
)


class IdempotencyConflict(Exception):
    """The idempotency key was used before, with another request."""


class SetMissing(Exception):
    """A problem set that the run needs is not there."""


class NotInState(Exception):
    """The run is not in a state that allows what was asked."""


@dataclass(frozen=True)
class NewStage:
    """A stage of a run to be."""

    name: str
    kind: str
    needs: tuple[str, ...]
    max_dead: int = 0


def create_run(
    ledger: Ledger,
    name: str,
    recipe: dict[str, Any],
    new_stages: Sequence[NewStage],
    idempotency_key: str | None = None,
    request_digest: str | None = None,
    needs_sets: Iterable[str] = (),
    spend_cap: float | None = None,
) -> tuple[str, bool]:
    """Stores a run with its stages, waiting; returns (id, created).

    An idempotency key seen before returns the earlier run, or raises IdempotencyConflict if the request differs. Raises
    SetMissing if one of the problem sets is not there: looked up in the same transaction, so that none is deleted in between.
    """
    run_id = f"{name}-{secrets.token_hex(4)}"
    try:
        with ledger.write() as connection:
            _hold_sets(connection, set(needs_sets))
            connection.execute(
                insert(runs).values(
                    id=run_id, name=name, recipe=recipe, state=RunState.CHECKING, paused=False, idempotency_key=idempotency_key,
                    request_digest=request_digest, spend_cap=spend_cap, created_at=now(),
                )
            )  # fmt: skip
            rows = [
                {"run_id": run_id, "name": s.name, "place": place, "kind": s.kind, "needs": list(s.needs), "max_dead": s.max_dead}
                for place, s in enumerate([NewStage(PREFLIGHT, PREFLIGHT, ()), *new_stages])
            ]
            connection.execute(insert(stages).values(state=StageState.WAITING), rows)
            add_event(connection, run_id, "run.created", {"name": name})
    except IntegrityError:
        if idempotency_key is None or (earlier := find_run(ledger, idempotency_key, request_digest)) is None:
            raise
        return earlier, False
    return run_id, True


def find_run(ledger: Ledger, idempotency_key: str, request_digest: str | None) -> str | None:
    """The run that an earlier request with this key made, or None. Raises IdempotencyConflict if that request was another."""
    with ledger.read() as connection:
        earlier = connection.execute(select(runs).where(runs.c.idempotency_key == idempotency_key)).one_or_none()
    if earlier is not None and earlier.request_digest != request_digest:
        raise IdempotencyConflict("this Idempotency-Key was used before, with another request")
    return earlier.id if earlier else None


def _hold_sets(connection: Connection, names: set[str]) -> None:
    """Keeps problem sets from being deleted until the transaction ends (on PostgreSQL by a lock; SQLite has one writer anyway)."""
    held = select(problem_sets.c.name).where(problem_sets.c.name.in_(names), problem_sets.c.ready).with_for_update(read=True)
    if missing := names - set(connection.execute(held).scalars()):
        raise SetMissing(f"there is no problem set `{sorted(missing)[0]}`")


def get_run(ledger: Ledger, run_id: str) -> Row[Any] | None:
    """The run's row, or None."""
    with ledger.read() as connection:
        return connection.execute(select(runs).where(runs.c.id == run_id)).one_or_none()


def was_done_before(ledger: Ledger, run_id: str) -> bool:
    """Whether an earlier run of just this request came to its end."""
    asked = select(runs.c.request_digest).where(runs.c.id == run_id).scalar_subquery()
    query = select(exists().where(runs.c.request_digest == asked, runs.c.state == RunState.DONE))
    with ledger.read() as connection:
        return bool(connection.execute(query).scalar_one())


def list_runs(ledger: Ledger, before: tuple[float, str] | None = None, limit: int = 50) -> list[Row[Any]]:
    """Runs, newest first; `before` is (`created_at`, `id`) of the last one seen."""
    query = select(runs).order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(tuple_(runs.c.created_at, runs.c.id) < tuple_(*before))
    with ledger.read() as connection:
        return list(connection.execute(query))


def live_runs(ledger: Ledger) -> list[Row[Any]]:
    """Runs that have not ended and are not paused, oldest first."""
    query = select(runs).where(runs.c.state.in_(LIVE), runs.c.paused.is_(False)).order_by(runs.c.created_at)
    with ledger.read() as connection:
        return list(connection.execute(query))


def get_stages(ledger: Ledger, run_id: str) -> list[Row[Any]]:
    """The run's stages in order, the preflight first."""
    with ledger.read() as connection:
        return list(connection.execute(select(stages).where(stages.c.run_id == run_id).order_by(stages.c.place)))


def stage_counts(ledger: Ledger, run_id: str) -> dict[str, dict[str, int]]:
    """Stage -> item state -> count (staged ones left out); also `lost` (leases lost so far) and `failed` (failed attempts)."""
    query = (
        select(items.c.stage, items.c.state, func.count().label("n"), func.sum(items.c.lost).label("lost"),
        func.sum(items.c.attempts).label("failed"))
        .where(items.c.run_id == run_id, items.c.state != ItemState.STAGED)
        .group_by(items.c.stage, items.c.state)
    )  # fmt: skip
    counts: dict[str, dict[str, int]] = {}
    with ledger.read() as connection:
        for row in connection.execute(query):
            stage = counts.setdefault(row.stage, {"lost": 0, "failed": 0})
            stage[row.state] = row.n
            stage["lost"] += int(row.lost)
            stage["failed"] += int(row.failed)
    return counts


def close_stage(ledger: Ledger, run_id: str, name: str, state: StageState, reason: str | None = None) -> bool:
    """open (or waiting) -> done | failed. False if it was closed already."""
    with ledger.write() as connection:
        statement = (
            update(stages)
            .where(stages.c.run_id == run_id, stages.c.name == name, stages.c.state.in_((StageState.OPEN, StageState.WAITING)))
            .values(state=state, reason=reason, closed_at=now())
        )
        if connection.execute(statement).rowcount != 1:
            return False
        add_event(connection, run_id, f"stage.{state}", {"reason": reason} if reason else {}, name)
    return True


def move_run(ledger: Ledger, run_id: str, before: RunState, after: RunState, reason: str | None = None) -> bool:
    """One transition of a run; False if it is not in `before`. An ended run's open items and stages are cancelled with it."""
    ended = after in ENDED
    with ledger.write() as connection:
        statement = update(runs).where(runs.c.id == run_id, runs.c.state == before)
        statement = statement.values(state=after, reason=reason, ended_at=now() if ended else null())
        if connection.execute(statement).rowcount != 1:
            return False
        if ended:
            _cancel_stages(connection, run_id)
        add_event(connection, run_id, f"run.{after}", {"reason": reason} if reason else {})
    if ended:
        cancel_items(ledger, run_id)
    return True


def _cancel_stages(connection: Connection, run_id: str) -> None:
    # before the items: a batch of items that is being added right now is waited for, and is then seen
    open_stages = and_(stages.c.run_id == run_id, stages.c.state.in_((StageState.WAITING, StageState.OPEN)))
    connection.execute(update(stages).where(open_stages).values(state=StageState.CANCELLED, closed_at=null()))


def half_cancelled(ledger: Ledger) -> list[str]:
    """Ended runs whose items are not all cancelled yet: whoever ended them is at it, or died at it."""
    query = select(stages.c.run_id).where(stages.c.state == StageState.CANCELLED, stages.c.closed_at.is_(None)).distinct()
    with ledger.read() as connection:
        return list(connection.execute(query).scalars())


def cancel_items(ledger: Ledger, run_id: str) -> None:
    """Cancels the open items of an ended run, MAX_ROWS a transaction, and then notes that its cancelled stages are closed.

    In between, nobody claims or renews one: its run is not live. May be begun again at any time, by anybody.
    """
    ended = exists().where(runs.c.id == run_id, runs.c.state.in_(ENDED))
    open_items = and_(items.c.run_id == run_id, items.c.state.in_((ItemState.STAGED, ItemState.QUEUED, ItemState.RUNNING)), ended)
    _in_batches(ledger, open_items, state=ItemState.CANCELLED, worker=null(), lease_until=null(), ended_at=now())
    cancelled = and_(stages.c.run_id == run_id, stages.c.state == StageState.CANCELLED, stages.c.closed_at.is_(None))
    with ledger.write() as connection:
        connection.execute(update(stages).where(cancelled).values(closed_at=now()))


def _in_batches(ledger: Ledger, which: ColumnElement[bool], **values: Any) -> None:
    """Changes items, MAX_ROWS a transaction, until none is left of which `which` is true."""
    changed = True
    while changed:  # to the last: a batch is short, too, when others change its items meanwhile
        with ledger.write() as connection:
            statement = update(items).where(in_order(which, limit=MAX_ROWS), which).values(**values).returning(items.c.id)
            changed = bool(connection.execute(statement).all())  # SQLite's driver counts no rows of a statement that begins WITH


def cancel_run(ledger: Ledger, run_id: str) -> None:
    """Ends a live run as cancelled; workers find their items gone at the next renewal. Raises NotInState on an ended run."""
    if not any(move_run(ledger, run_id, state, RunState.CANCELLED, "cancelled by request") for state in LIVE):
        raise NotInState(f"run {run_id} has ended already")


def set_paused(ledger: Ledger, run_id: str, paused: bool) -> None:
    """Pauses or resumes a live run. Pausing takes its running items back, at no cost of attempts. Raises NotInState on an
    ended run.
    """
    with ledger.write() as connection:
        reason = {} if paused else {"reason": null()}  # why it was paused, if anybody said so
        statement = update(runs).where(runs.c.id == run_id, runs.c.state.in_(LIVE)).values(paused=paused, **reason)
        if connection.execute(statement).rowcount != 1:
            raise NotInState(f"run {run_id} has ended already")
        add_event(connection, run_id, "run.paused" if paused else "run.resumed", {})
    if paused:  # if we die at it: a worker finds at its next renewal that the run is paused, and gives back what it holds
        still = exists().where(runs.c.id == run_id, runs.c.paused)
        held = and_(items.c.run_id == run_id, items.c.state == ItemState.RUNNING, still)
        _in_batches(ledger, held, state=ItemState.QUEUED, worker=null(), lease_until=null(), rung_at=null())


def delete_run(ledger: Ledger, run_id: str) -> None:
    """Deletes an ended run with all that hangs on it, in small transactions. Raises NotInState on a live one."""
    with ledger.read() as connection:
        state = connection.execute(select(runs.c.state).where(runs.c.id == run_id)).scalar_one_or_none()
    if state in LIVE:
        raise NotInState(f"run {run_id} is {state}: cancel it first")
    for table in (records, usage, events, items):
        _delete_slowly(ledger, table, run_id)
    with ledger.write() as connection:
        for table in (models, stages):
            connection.execute(delete(table).where(table.c.run_id == run_id))
        connection.execute(delete(runs).where(runs.c.id == run_id))


def _delete_slowly(ledger: Ledger, table: Any, run_id: str) -> None:
    while True:
        batch = select(table.c.id).where(table.c.run_id == run_id).limit(1000).scalar_subquery()
        with ledger.write() as connection:
            if connection.execute(delete(table).where(table.c.id.in_(batch))).rowcount == 0:
                return


def model_uri(ledger: Ledger, run_id: str, stage: str) -> str | None:
    """URI of the checkpoint that a train stage of this run made."""
    with ledger.read() as connection:
        query = select(models.c.uri).where(models.c.run_id == run_id, models.c.name == stage)
        return connection.execute(query).scalar_one_or_none()


def list_models(ledger: Ledger, run_ids: Iterable[str] | None = None) -> list[Row[Any]]:
    """Checkpoints, newest first."""
    query = select(models).order_by(models.c.created_at.desc())
    if run_ids is not None:
        query = query.where(models.c.run_id.in_(list(run_ids)))
    with ledger.read() as connection:
        return list(connection.execute(query))


def dead_items(ledger: Ledger, run_id: str, stage: str, limit: int = 100) -> list[tuple[str, str]]:
    """(key, error) of a stage's dead items."""
    query = select(items.c.key, items.c.error).where(
        items.c.run_id == run_id, items.c.stage == stage, items.c.state == ItemState.DEAD
    )
    with ledger.read() as connection:
        return [(row.key, row.error or "") for row in connection.execute(query.order_by(items.c.place).limit(limit))]
