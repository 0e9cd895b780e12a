"""Locks over many items in one order."""

from typing import Any

from sqlalchemy import ColumnElement, select

from shared.ledger.tables import items


def in_order(*conditions: ColumnElement[bool], limit: int | None = None) -> ColumnElement[bool]:
    """For the WHERE of an update of many items: those that meet the conditions, locked in order of id first.

    Two statements that lock the same rows in different orders deadlock on PostgreSQL (a worker renews what the conductor sweeps
    and the gateway pauses). SQLite has one writer anyway.

    A CTE, because PostgreSQL carries out one that locks exactly once. A plain subquery it may carry out again for each row, after
    what was changed by then: its limit limits nothing.
    """
    chosen: Any = select(items.c.id).where(*conditions).order_by(items.c.id).limit(limit).with_for_update().cte("chosen")
    return items.c.id.in_(select(chosen.c.id))
