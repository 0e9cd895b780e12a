"""Records (results) and usage (what they took): read by stages, the gateway and people."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from shared.ledger.database import Ledger, now
from shared.ledger.items import Lease
from shared.ledger.tables import records, usage

PAGE = 500


@dataclass(frozen=True)
class UsageRow:
    """Tokens and cost of some requests of one item, in one role. Raises ValueError on a figure that would spoil a sum."""

    role: str
    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost: float = 0.0
    """US dollars."""
    cached: int = 0
    """Requests that were not made, since their answers had been bought before."""

    def __post_init__(self) -> None:
        figures = (self.requests, self.prompt_tokens, self.completion_tokens, self.cost, self.cached)
        if not all(0 <= figure < math.inf for figure in figures):  # NaN is in no range
            raise ValueError(f"usage of {self.model} as {self.role}: {figures} (requests, tokens read and written, cost, cached)")


def append_usage(ledger: Ledger, lease: Lease, rows: Sequence[UsageRow]) -> None:
    """Appends usage whatever the fence: the tokens were paid for, even if the result is not taken."""
    if not rows:
        return
    with ledger.write() as connection:
        insert_usage(connection, lease, rows)


def insert_usage(connection: Connection, lease: Lease, rows: Sequence[UsageRow]) -> None:
    """As `append_usage`, within a transaction."""
    about = {"run_id": lease.run_id, "stage": lease.stage, "item_id": lease.item_id, "fence": lease.fence}
    connection.execute(insert(usage).values(created_at=now()), [{**about, **row.__dict__} for row in rows])


def run_usage(ledger: Ledger, run_id: str) -> list[Row[Any]]:
    """Sums by stage, role and model."""
    sums = [
        func.sum(column).label(column.name)
        for column in (usage.c.requests, usage.c.prompt_tokens, usage.c.completion_tokens, usage.c.cost, usage.c.cached)
    ]
    query = select(usage.c.stage, usage.c.role, usage.c.model, *sums).where(usage.c.run_id == run_id)
    with ledger.read() as connection:
        return list(connection.execute(query.group_by(usage.c.stage, usage.c.role, usage.c.model)))


def page_records(
    ledger: Ledger,
    run_id: str,
    stage: str | None = None,
    kind: str | None = None,
    key: str | None = None,
    after: int = 0,
    limit: int = PAGE,
) -> list[Row[Any]]:
    """Published records with id above `after`, in order of id."""
    query = select(records).where(records.c.run_id == run_id, records.c.published, records.c.id > after)
    for column, value in ((records.c.stage, stage), (records.c.kind, kind), (records.c.key, key)):
        if value is not None:
            query = query.where(column == value)
    with ledger.read() as connection:
        return list(connection.execute(query.order_by(records.c.id).limit(limit)))


def record_keys(ledger: Ledger, run_id: str, stage: str, kind: str) -> list[str]:
    """Keys of all published records of a stage and kind, sorted."""
    query = select(records.c.key).where(
        records.c.run_id == run_id, records.c.stage == stage, records.c.kind == kind, records.c.published
    )
    with ledger.read() as connection:
        return sorted(connection.execute(query).scalars())


def records_by_key(ledger: Ledger, run_id: str, stage: str, kind: str, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Bodies of the published records with these keys (at most 1,000), sorted by key."""
    query = select(records.c.key, records.c.body).where(
        records.c.run_id == run_id, records.c.stage == stage, records.c.kind == kind, records.c.published, records.c.key.in_(keys)
    )
    with ledger.read() as connection:
        return [row.body for row in sorted(connection.execute(query), key=lambda row: row.key)]


def iterate_records(ledger: Ledger, run_id: str, stage: str, kind: str) -> Iterator[dict[str, Any]]:
    """Bodies of all published records of a stage and kind, sorted by key (not by arrival, which differs from run to run)."""
    keys = record_keys(ledger, run_id, stage, kind)
    for start in range(0, len(keys), PAGE):
        yield from records_by_key(ledger, run_id, stage, kind, keys[start : start + PAGE])


def count_records(ledger: Ledger, run_id: str) -> dict[tuple[str, str], int]:
    """(stage, kind) -> number of published records."""
    query = select(records.c.stage, records.c.kind, func.count().label("n")).where(records.c.run_id == run_id, records.c.published)
    with ledger.read() as connection:
        return {(row.stage, row.kind): row.n for row in connection.execute(query.group_by(records.c.stage, records.c.kind))}
