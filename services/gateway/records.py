"""Records and work items, by pages."""

from typing import Any

from fastapi import APIRouter

from services.gateway.dependencies import Cursor, LedgerOf, Limit, RunOf, Text, make_cursor, read_cursor
from shared.ledger.records import page_records
from shared.ledger.tables import ItemState
from shared.ledger.views import page_items

router = APIRouter(prefix="/runs/{run_id}", tags=["records"])


@router.get("/records")
def get_records(
    ledger: LedgerOf,
    run: RunOf,
    stage: Text = None,
    kind: Text = None,
    key: Text = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Results: trees, thoughts, shortcuts, samples ... Filtered by stage, kind and key; `next` is the cursor of the page after."""
    place = read_cursor(cursor, int)
    page = page_records(ledger, run.id, stage, kind, key, place[0] if place else 0, limit)
    shown = [
        {"stage": row.stage, "kind": row.kind, "key": row.key, "item": row.item_id, "created_at": row.created_at, "body": row.body}
        for row in page
    ]
    return {"records": shown, "next": make_cursor(page[-1].id) if len(page) == limit else None}


ITEM = (
    "stage",
    "key",
    "service",
    "state",
    "attempts",
    "max_attempts",
    "lost",
    "worker",
    "error",
    "progress",
    "started_at",
    "ended_at",
)


@router.get("/items")
def get_items(
    ledger: LedgerOf, run: RunOf, stage: Text = None, state: ItemState | None = None, cursor: Cursor = None, limit: Limit = 100
) -> dict[str, Any]:
    """Work items, with the last error of those that failed or are dead."""
    page = page_items(ledger, run.id, stage, state, read_cursor(cursor, str, int, str), limit)
    more = make_cursor(page[-1].stage, page[-1].place, page[-1].key) if len(page) == limit else None
    return {"items": [{column: getattr(row, column) for column in ITEM} for row in page], "next": more}
