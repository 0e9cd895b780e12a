"""Runs: posted, watched, cancelled, paused, resumed, deleted."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from services.gateway.dependencies import Caller, Cursor, LedgerOf, Limit, RunOf, make_cursor, read_cursor
from services.gateway.errors import Conflict, InFlight, NotFound, TooLarge
from services.gateway.recipes import parse_recipe
from services.gateway.sources import measure_sources, prepare_sources
from services.gateway.status import status, summary
from shared.artifacts import delete_folder, run_folder
from shared.ledger.database import Ledger
from shared.ledger.runs import NewStage, cancel_run, create_run, delete_run, find_run, get_run, list_runs, set_paused
from shared.ledger.spending import set_cap
from shared.ledger.tables import LIVE, RunState

router = APIRouter(prefix="/runs", tags=["runs"])

LONGEST_RECIPE = 2**20
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200, pattern=r"^[\x20-\x7e]+$")]

_in_flight: set[str] = set()
_guard = threading.Lock()


@router.post("", status_code=202)
async def post_run(
    request: Request, response: Response, ledger: LedgerOf, caller: Caller, idempotency_key: Key = None
) -> dict[str, Any]:
    """Makes a run of a recipe (JSON or YAML). 202 and `Location`; the run starts as soon as a conductor sees it.

    With an `Idempotency-Key`, the same request sent again returns the same run; another request with that key is refused (422), and
    one that comes while the first is being answered, too (409).
    """
    body, content_type = await _read(request)
    key = f"{caller}:{idempotency_key}" if idempotency_key else None
    run_id = await run_in_threadpool(_post, ledger, body, content_type, key)
    response.headers["Location"] = f"/v1/runs/{run_id}"
    return await run_in_threadpool(_status, ledger, run_id)


@router.post("/check")
async def check_recipe(request: Request, ledger: LedgerOf) -> dict[str, Any]:
    """Checks a recipe as posting it would, and makes no run of it: nothing is stored.

    Answers with the recipe as it is understood, and with what is known of its problem sources: number, mean lengths in tokens (an
    estimate without a tokenizer), of the first 200 problems. 422 with the places of all that is wrong.
    """
    body, content_type = await _read(request)
    return await run_in_threadpool(_check, ledger, body, content_type)


def _check(ledger: Ledger, body: bytes, content_type: str) -> dict[str, Any]:
    recipe = parse_recipe(body, content_type)
    measured = {name: one.model_dump(mode="json") for name, one in measure_sources(ledger, recipe).items()}
    return {"recipe": recipe.model_dump(mode="json"), "problems": measured}


async def _read(request: Request) -> tuple[bytes, str]:
    """A recipe's bytes and their content type. Raises TooLarge."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_RECIPE:
            raise TooLarge(f"a recipe has at most {LONGEST_RECIPE} bytes")
    return bytes(body), request.headers.get("content-type", "")


def _post(ledger: Ledger, body: bytes, content_type: str, key: str | None) -> str:
    digest = hashlib.sha256(body).hexdigest()
    with _one_at_a_time(key):
        if key and (earlier := find_run(ledger, key, digest)):
            return earlier
        recipe = parse_recipe(body, content_type)
        sets = prepare_sources(ledger, recipe)
        stages = [
            NewStage(name, recipe.stages[name].kind, recipe.needs(name), recipe.stages[name].max_dead) for name in recipe.order()
        ]
        run_id, _ = create_run(ledger, recipe.name, recipe.model_dump(mode="json"), stages, key, digest, sets, recipe.spend_cap)
        return run_id


@contextmanager
def _one_at_a_time(key: str | None) -> Iterator[None]:
    """Raises InFlight for a key that this process is working on. Between processes, the ledger's unique constraint decides."""
    if key is None:
        yield
        return
    with _guard:
        if key in _in_flight:
            raise InFlight("the first request with this Idempotency-Key has not been answered yet", headers={"Retry-After": "1"})
        _in_flight.add(key)
    try:
        yield
    finally:
        with _guard:
            _in_flight.discard(key)


def _status(ledger: Ledger, run_id: str) -> dict[str, Any]:
    run = get_run(ledger, run_id)
    if run is None:
        raise NotFound(f"there is no run `{run_id}`")
    return status(ledger, run)


@router.get("")
def get_runs(ledger: LedgerOf, cursor: Cursor = None, limit: Limit = 50) -> dict[str, Any]:
    """Runs, newest first."""
    page = list_runs(ledger, read_cursor(cursor, float, str), limit)
    more = make_cursor(float(page[-1].created_at), page[-1].id) if len(page) == limit else None
    return {"runs": [summary(run) for run in page], "next": more}


@router.get("/{run_id}")
def get_one_run(ledger: LedgerOf, run: RunOf) -> dict[str, Any]:
    """How a run stands: its stages, their items by state, progress, usage."""
    return status(ledger, run)


@router.get("/{run_id}/recipe")
def get_recipe(run: RunOf) -> dict[str, Any]:
    """The recipe as it was understood, defaults filled in."""
    recipe: dict[str, Any] = run.recipe
    return recipe


@router.post("/{run_id}/cancel")
def cancel(ledger: LedgerOf, run: RunOf) -> dict[str, Any]:
    """Ends a live run; workers let go of its items within seconds. Twice is no matter; 409 for a run that ended otherwise."""
    if run.state != RunState.CANCELLED:
        cancel_run(ledger, run.id)
    return _status(ledger, run.id)


@router.post("/{run_id}/pause")
def pause(ledger: LedgerOf, run: RunOf) -> dict[str, Any]:
    """Takes a live run's items back, at no cost of attempts, and starts no others. 409 for a run that ended."""
    set_paused(ledger, run.id, True)
    return _status(ledger, run.id)


@router.post("/{run_id}/resume")
def resume(ledger: LedgerOf, run: RunOf, spend_cap: Annotated[float | None, Query(gt=0)] = None) -> dict[str, Any]:
    """Lets a paused run go on, with another spend cap (US dollars) if one is given. 409 for a run that ended, or that has spent
    as much already.
    """
    if spend_cap is not None:
        set_cap(ledger, run.id, spend_cap)
    set_paused(ledger, run.id, False)
    return _status(ledger, run.id)


@router.delete("/{run_id}", status_code=204)
def delete(ledger: LedgerOf, run: RunOf) -> None:
    """Deletes an ended run: records, usage, events, checkpoints, exports. 409 for a live one: cancel it first."""
    if run.state in LIVE:
        raise Conflict(f"run {run.id} is {summary(run)['state']}: cancel it first")
    delete_folder(run_folder(run.id))  # first the files: a gateway that dies in between leaves a run that can be deleted again
    delete_run(ledger, run.id)
