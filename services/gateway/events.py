"""Events as server-sent events: `id` is the cursor to come back with (`Last-Event-ID`), `event` the type, `data` the event as
JSON.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from services.gateway.dependencies import LedgerOf, RunOf
from services.gateway.errors import BadRequest, StreamEnded
from services.gateway.hub import Hub, position
from shared.ledger.events import Event, last_cursor
from shared.ledger.tables import LIVE
from shared.ledger.views import newest_cursor

router = APIRouter(tags=["events"])

_CURSOR = re.compile(r"\d{1,18}-\d{1,18}")


def _hub(request: Request) -> Hub:
    hub: Hub = request.app.state.hub
    return hub


HubOf = Annotated[Hub, Depends(_hub)]


def _after(
    last_event_id: Annotated[str | None, Header()] = None,
    after: Annotated[str | None, Query(description="As `Last-Event-ID`, for clients that cannot set headers")] = None,
) -> str | None:
    cursor = last_event_id or after
    if cursor and not _CURSOR.fullmatch(cursor):
        raise BadRequest(f"Last-Event-ID {cursor[:60]!r} is no event's id: they look like 12-345")
    return cursor or None


After = Annotated[str | None, Depends(_after)]


def _run_start(ledger: LedgerOf, run: RunOf, after: After) -> tuple[str, str]:
    """Where the stream of a run begins. An ended run of which all was seen has none: 204."""
    if after and run.state not in LIVE:
        newest = newest_cursor(ledger, run.id)
        if newest is None or position(newest) <= position(after):
            raise StreamEnded
    return run.id, after or "0-0"


@router.get("/runs/{run_id}/events", response_class=EventSourceResponse)
async def run_events(hub: HubOf, start: Annotated[tuple[str, str], Depends(_run_start)]) -> AsyncIterator[ServerSentEvent]:
    """A run's events, from its first (or after `Last-Event-ID`) to its last; then the stream ends, and coming back gives 204."""
    run_id, after = start
    async for event in hub.listen(after, run_id):
        yield _shown(event)


@router.get("/events", response_class=EventSourceResponse)
async def all_events(ledger: LedgerOf, hub: HubOf, after: After) -> AsyncIterator[ServerSentEvent]:
    """Events of all runs from now on (or after `Last-Event-ID`)."""
    start = await asyncio.to_thread(last_cursor, ledger) if after is None else after
    yield ServerSentEvent(id=start)  # no event, but an id to come back with if the connection breaks before the first
    async for event in hub.listen(start):
        yield _shown(event)


def _shown(event: Event) -> ServerSentEvent:
    data = {
        "id": event.cursor,
        "run_id": event.run_id,
        "stage": event.stage,
        "type": event.type,
        "body": event.body,
        "created_at": event.created_at,
    }
    return ServerSentEvent(id=event.cursor, event=event.type, data=data)
