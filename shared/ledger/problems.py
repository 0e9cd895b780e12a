"""Problem sets: stored whole or not at all."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from shared.ledger.database import Ledger, now
from shared.ledger.tables import problem_sets, problems


class SetExists(Exception):
    """A problem set of this name is there already."""


def begin_set(ledger: Ledger, name: str) -> None:
    """Reserves a name for a set that is not ready yet. Raises SetExists; a set left unready for an hour is replaced."""
    with ledger.write() as connection:
        stale = (problem_sets.c.name == name, problem_sets.c.ready.is_(False), problem_sets.c.created_at < now() - 3600)
        connection.execute(delete(problem_sets).where(*stale))
    try:
        with ledger.write() as connection:
            connection.execute(insert(problem_sets).values(name=name, count=0, ready=False, created_at=now()))
    except IntegrityError:
        raise SetExists(f"there is a problem set `{name}` already: delete it first, or choose another name") from None


def add_problems(ledger: Ledger, name: str, first_place: int, bodies: Sequence[dict[str, Any]]) -> None:
    """Adds up to 1,000 problems to a set that is not ready yet. `bodies` are Problems as JSON."""
    rows = [{"set_name": name, "place": first_place + i, "key": body["id"], "body": body} for i, body in enumerate(bodies)]
    with ledger.write() as connection:
        connection.execute(insert(problems), rows)


def finish_set(ledger: Ledger, name: str, count: int) -> None:
    """Makes a set visible."""
    with ledger.write() as connection:
        connection.execute(update(problem_sets).where(problem_sets.c.name == name).values(ready=True, count=count))


def delete_set(ledger: Ledger, name: str) -> bool:
    """Deletes a set with its problems (a thousand a transaction); False if there is none."""
    while True:
        batch = select(problems.c.place).where(problems.c.set_name == name).limit(1000).scalar_subquery()
        with ledger.write() as connection:
            if connection.execute(delete(problems).where(problems.c.set_name == name, problems.c.place.in_(batch))).rowcount == 0:
                return connection.execute(delete(problem_sets).where(problem_sets.c.name == name)).rowcount == 1


def list_sets(ledger: Ledger) -> list[Row[Any]]:
    """Ready sets by name."""
    with ledger.read() as connection:
        return list(connection.execute(select(problem_sets).where(problem_sets.c.ready).order_by(problem_sets.c.name)))


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
