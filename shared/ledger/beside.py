"""Records that come later and belong to one that is there: kept at the same item, so that they live and go with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, insert, select

from shared.ledger.database import Ledger, now
from shared.ledger.items import MAX_ROWS, NewRecord
from shared.ledger.tables import records


@dataclass(frozen=True)
class Beside:
    """A record to be kept beside another, whose item these name."""

    stage: str
    item_id: str
    fence: int
    record: NewRecord


def places(ledger: Ledger, run_id: str, kind: str, stage: str | None = None) -> list[Row[Any]]:
    """`key`, `stage`, `item_id` and `fence` of a run's published records of a kind."""
    query = select(records.c.key, records.c.stage, records.c.item_id, records.c.fence).where(
        records.c.run_id == run_id, records.c.kind == kind, records.c.published
    )
    with ledger.read() as connection:
        return list(connection.execute(query if stage is None else query.where(records.c.stage == stage)))


def store_beside(ledger: Ledger, run_id: str, new: Sequence[Beside]) -> int:
    """Stores records, all or none, in place of earlier ones of the same item, kind and key; returns how many it replaced.

    Raises ValueError for more than MAX_ROWS of them: it is one transaction.
    """
    if len(new) > MAX_ROWS:
        raise ValueError(f"{len(new)} records at once: a transaction takes {MAX_ROWS}")
    rows = [
        {"run_id": run_id, "stage": one.stage, "item_id": one.item_id, "fence": one.fence, **one.record.__dict__, "published": True}
        for one in new
    ]
    replaced = 0
    with ledger.write() as connection:
        for item, kind in {(one.item_id, one.record.kind) for one in new}:
            keys = [one.record.key for one in new if (one.item_id, one.record.kind) == (item, kind)]
            earlier = (records.c.item_id == item, records.c.kind == kind, records.c.key.in_(keys))
            replaced += connection.execute(delete(records).where(*earlier)).rowcount
        if rows:
            connection.execute(insert(records).values(created_at=now()), rows)
    return replaced
