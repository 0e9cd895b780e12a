"""Problem sets: stored whole or not at all.

A set that is not ready is being filled or deleted by somebody. Its `created_at` is that somebody's last sign of life, and a
fence: every batch moves it on by compare-and-set, so that of two only one goes on.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from shared.contracts.models import ProblemSource
from shared.ledger.database import Ledger, now
from shared.ledger.tables import LIVE, problem_sets, problems, runs

BATCH = 1000
STALE_SECONDS = 30.0
"""A set that is not ready and shows no sign of life for so long was left by a process that died: its name is free."""

_SETS: Select[Any] = select(problem_sets.c.name, problem_sets.c.count.label("size"), problem_sets.c.created_at).where(
    problem_sets.c.ready
)
"""`count` would be a row's own method."""


class SetExists(Exception):
    """A problem set of this name is there already, or being made."""


class SetInUse(Exception):
    """The problem set belongs to the recipe of a live run."""


class SetLost(Exception):
    """Somebody else took the set over: this process showed no sign of life for too long."""


def store_set(ledger: Ledger, name: str, bodies: Iterable[dict[str, Any]]) -> int:
    """Stores a set of Problems as JSON, BATCH a transaction, and makes it visible by the last one; returns how many there are.

    Raises SetExists. On any error nothing stays; what a dying process leaves is replaced after STALE_SECONDS.
    """
    stamp = _reserve(ledger, name)
    count = 0
    try:
        source = iter(bodies)
        while batch := list(islice(source, BATCH)):
            rows = [{"set_name": name, "place": count + i, "key": body["id"], "body": body} for i, body in enumerate(batch)]
            with ledger.write() as connection:
                stamp = _go_on(connection, name, stamp)
                connection.execute(insert(problems), rows)
            count += len(batch)
        with ledger.write() as connection:
            _go_on(connection, name, stamp, ready=True, count=count)
    except SetLost:
        raise
    except BaseException:
        _clear(ledger, name, stamp)
        raise
    return count


def _reserve(ledger: Ledger, name: str) -> float:
    """Takes a name for a set to be; returns its stamp."""
    try:
        with ledger.write() as connection:
            new = insert(problem_sets).values(name=name, count=0, ready=False, created_at=now())
            return float(connection.execute(new.returning(problem_sets.c.created_at)).scalar_one())
    except IntegrityError:
        stale = (problem_sets.c.name == name, problem_sets.c.ready.is_(False), problem_sets.c.created_at < now() - STALE_SECONDS)
        with ledger.write() as connection:
            taken = update(problem_sets).where(*stale).values(created_at=now()).returning(problem_sets.c.created_at)
            stamp = connection.execute(taken).scalar_one_or_none()
    if stamp is None:
        raise SetExists(f"there is a problem set `{name}` already: delete it first, or choose another name")
    return _empty(ledger, name, stamp)


def _go_on(connection: Connection, name: str, stamp: float, **values: Any) -> float:
    """Shows a sign of life of whoever holds `stamp`; returns the next stamp. Raises SetLost."""
    mine = (problem_sets.c.name == name, problem_sets.c.created_at == stamp, problem_sets.c.ready.is_(False))
    moved = update(problem_sets).where(*mine).values(created_at=now(), **values).returning(problem_sets.c.created_at)
    next_stamp = connection.execute(moved).scalar_one_or_none()
    if next_stamp is None:
        raise SetLost(f"problem set `{name}` was taken over by another process")
    return float(next_stamp)


def _empty(ledger: Ledger, name: str, stamp: float) -> float:
    """Deletes a set's problems, BATCH a transaction."""
    while True:
        batch = select(problems.c.place).where(problems.c.set_name == name).limit(BATCH).scalar_subquery()
        with ledger.write() as connection:
            stamp = _go_on(connection, name, stamp)
            if connection.execute(delete(problems).where(problems.c.set_name == name, problems.c.place.in_(batch))).rowcount == 0:
                return stamp


def _clear(ledger: Ledger, name: str, stamp: float) -> None:
    """Deletes a set that is not ready, with its problems."""
    stamp = _empty(ledger, name, stamp)
    with ledger.write() as connection:
        _go_on(connection, name, stamp)
        connection.execute(delete(problem_sets).where(problem_sets.c.name == name))


def delete_set(ledger: Ledger, name: str) -> bool:
    """Deletes a ready set; False if there is none. Raises SetInUse (and changes nothing) if a live run's recipe names it."""
    with ledger.write() as connection:
        ready = (problem_sets.c.name == name, problem_sets.c.ready)
        hidden = update(problem_sets).where(*ready).values(ready=False, created_at=now()).returning(problem_sets.c.created_at)
        stamp = connection.execute(hidden).scalar_one_or_none()
        if stamp is None:
            return False
        for run in connection.execute(select(runs.c.id, runs.c.recipe).where(runs.c.state.in_(LIVE))):
            sources = run.recipe.get("problems", {}).values()
            if name in {ProblemSource.model_validate(source).stored_as for source in sources}:
                raise SetInUse(f"problem set `{name}` is used by run {run.id}: cancel that run first, or wait for its end")
    _clear(ledger, name, stamp)
    return True


def get_set(ledger: Ledger, name: str) -> Row[Any] | None:
    """A ready set's `name`, `size` and `created_at`, or None."""
    with ledger.read() as connection:
        return connection.execute(_SETS.where(problem_sets.c.name == name)).one_or_none()


def list_sets(ledger: Ledger) -> list[Row[Any]]:
    """Ready sets by name: `name`, `size`, `created_at`."""
    with ledger.read() as connection:
        return list(connection.execute(_SETS.order_by(problem_sets.c.name)))


def distinct_values(ledger: Ledger, name: str, path: tuple[str, ...], skip: int = 0, count: int | None = None) -> set[str | None]:
    """The texts that stand at a path of a set's problems from place `skip`; None for problems that have nothing there."""
    query = select(problems.c.body[path].as_string()).where(problems.c.set_name == name, problems.c.place >= skip).distinct()
    with ledger.read() as connection:
        return set(connection.execute(query if count is None else query.where(problems.c.place < skip + count)).scalars())


def iterate_problems(ledger: Ledger, name: str, skip: int = 0, count: int | None = None) -> Iterator[dict[str, Any]]:
    """A ready set's problems as JSON, in order, from place `skip`, a page a transaction."""
    end = None if count is None else skip + count
    place = skip
    while end is None or place < end:
        query = select(problems.c.body).where(problems.c.set_name == name, problems.c.place >= place).order_by(problems.c.place)
        with ledger.read() as connection:
            page = list(connection.execute(query.limit(500 if end is None else min(500, end - place))).scalars())
        if not page:
            return
        yield from page
        place += len(page)
