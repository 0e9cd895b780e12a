"""For whoever operates the house: models, queues, workers, and whether everything is up."""

import socket
from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Response
from sqlalchemy.exc import DBAPIError

from services.gateway.dependencies import LedgerOf
from shared.contracts.stages import Service
from shared.ledger.database import Ledger
from shared.ledger.locks import CONDUCTOR, lock_holder
from shared.ledger.problems import list_sets
from shared.ledger.runs import list_models
from shared.ledger.workers import live_workers, queue_counts
from shared.settings import settings

router = APIRouter(tags=["operations"])
open_router = APIRouter(tags=["operations"])
"""What needs no key."""

BROKER_SECONDS = 2.0
Check = Literal["ledger", "broker", "conductor"]


@router.get("/models")
def get_models(ledger: LedgerOf) -> dict[str, Any]:
    """Checkpoints that train stages made, newest first."""
    shown = [
        {"run": row.run_id, "stage": row.name, "uri": row.uri, "created_at": row.created_at, **row.body}
        for row in list_models(ledger)
    ]
    return {"models": shown}


@router.get("/queues")
def get_queues(ledger: LedgerOf) -> dict[str, Any]:
    """Per queue, as the ledger counts: items `queued` (of these `rung`, but unclaimed), items `running`, live workers, slots."""
    counts = {row.service: row for row in queue_counts(ledger)}
    workers = live_workers(ledger)
    queues = {}
    for service in Service:
        row = counts.get(service)
        serving = [worker for worker in workers if service in worker.services.split(",")]
        queues[service.value] = {
            **{state: int(getattr(row, state)) if row else 0 for state in ("queued", "rung", "running")},
            "workers": len(serving),
            "slots": sum(worker.slots for worker in serving),
        }
    return {"queues": queues}


@router.get("/workers")
def get_workers(ledger: LedgerOf) -> dict[str, Any]:
    """Workers seen lately."""
    shown = [
        {"name": row.name, "services": row.services.split(","), "slots": row.slots, "seen_at": row.seen_at}
        for row in live_workers(ledger)
    ]
    return {"workers": shown}


@open_router.get("/healthz")
def healthz() -> dict[str, str]:
    """200 as long as this process serves requests."""
    return {"status": "ok"}


@open_router.get("/readyz")
def readyz(
    ledger: LedgerOf,
    response: Response,
    of: Annotated[list[Check] | None, Query(description="Only these checks")] = None,
) -> dict[str, Any]:
    """200 if the ledger and the broker answer and a conductor is at work, else 503; `checks` says in words what is wrong."""
    checks: dict[str, Callable[[Ledger], str]] = {
        "ledger": _ledger_answers,
        "broker": _broker_answers,
        "conductor": _conductor_works,
    }
    found = {name: check(ledger) for name, check in checks.items() if of is None or name in of}
    ready = set(found.values()) == {"ok"}
    response.status_code = 200 if ready else 503
    return {"status": "ready" if ready else "not ready", "checks": found}


def _ledger_answers(ledger: Ledger) -> str:
    try:
        list_sets(ledger)
    except DBAPIError as error:
        return f"the ledger does not answer: {error.orig}"
    return "ok"


def _broker_answers(ledger: Ledger) -> str:
    """Whether somebody listens at the broker's address. Its own protocol is Celery's business, which is not installed here."""
    broker = urlsplit(settings().broker_url)
    address = (broker.hostname or "127.0.0.1", broker.port or 6379)
    try:
        socket.create_connection(address, BROKER_SECONDS).close()
    except OSError as error:
        return f"no broker at {address[0]}:{address[1]}: {error}"
    return "ok"


def _conductor_works(ledger: Ledger) -> str:
    try:
        return "ok" if lock_holder(ledger, CONDUCTOR) else "no conductor is at work"
    except DBAPIError as error:
        return f"the ledger does not answer: {error.orig}"
