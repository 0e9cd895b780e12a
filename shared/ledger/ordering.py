"""Locks over many items in one order."""

from typing import Any

from sqlalchemy import ColumnElement, select

from shared.ledger.tables import items


def in_order(*conditions: ColumnElement[bool], limit: int | None = None) -> ColumnElement[bool]:
    """For the WHERE of an update of many items: those that meet the conditions, locked in order of id first.

    Two statements that lock the same rows in different orders deadlock on PostgreSQL (a worker renews what the conductor sweeps
    and the gateway pauses). SQLite has one writer anyway.
    """
    chosen: Any = select(items.c.id).where(*conditions).order_by(items.c.id).limit(limit).with_for_update()
    return items.c.id.in_(chosen.scalar_subquery())
