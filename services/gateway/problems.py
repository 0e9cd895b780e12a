"""Problem sets: streamed in, listed, read, deleted."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from services.gateway.dependencies import PLAIN, LedgerOf, Limit
from services.gateway.errors import NotFound
from services.gateway.upload import Upload
from shared.contracts.problem import Problem
from shared.ledger.problems import SetExists, delete_set, get_set, iterate_problems, list_sets, store_set

router = APIRouter(prefix="/problem-sets", tags=["problem sets"])

NewName = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$", description="Letters, digits, `-` and `_`, at most 100; no dots")
]
AnyName = Annotated[str, Path(max_length=300, pattern=PLAIN)]


@router.post("/{name}", status_code=201)
async def add_problem_set(name: NewName, request: Request, response: Response, ledger: LedgerOf) -> dict[str, Any]:
    """Stores a JSONL body (GSM8K, MATH, AIME rows as published, or our own) as a problem set.

    Nothing is stored unless all lines are good: otherwise 422 with every bad line. The same content again is no conflict (200).
    """
    with Upload() as upload:
        async for chunk in request.stream():
            upload.write(chunk)
        await run_in_threadpool(upload.check)
        created = await run_in_threadpool(_store, ledger, name, upload)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/v1/problem-sets/{name}"
    return {"name": name, "count": upload.count, "created": created}


def _store(ledger: Any, name: str, upload: Upload) -> bool:
    try:
        store_set(ledger, name, upload.problems())
    except SetExists:
        stored = (_as_now(body) for body in iterate_problems(ledger, name))
        if not _same(stored, upload.problems()) or get_set(ledger, name) is None:
            raise
        return False
    return True


def _as_now(body: dict[str, Any]) -> dict[str, Any]:
    """A stored problem with the fields that have come since."""
    return Problem.model_validate(body).model_dump(mode="json")


def _same(stored: Iterator[Any], sent: Iterator[Any]) -> bool:
    end = object()
    while (one := next(stored, end)) == (other := next(sent, end)):
        if one is end and other is end:
            return True
    return False


@router.get("")
def list_problem_sets(ledger: LedgerOf) -> dict[str, Any]:
    """All problem sets, those that runs made with a generator included."""
    return {"problem_sets": [_shown(row) for row in list_sets(ledger)]}


@router.get("/{name}")
def get_problem_set(name: AnyName, ledger: LedgerOf) -> dict[str, Any]:
    """One problem set."""
    return _shown(_found(ledger, name))


@router.get("/{name}/problems")
def get_problems(name: AnyName, ledger: LedgerOf, skip: int = 0, limit: Limit = 100) -> dict[str, Any]:
    """A set's problems from place `skip`."""
    row = _found(ledger, name)
    first = max(skip, 0)
    page = list(iterate_problems(ledger, name, first, limit)) if first < row.size else []
    return {"problems": page, "count": row.size}


@router.delete("/{name}", status_code=204)
def delete_problem_set(name: AnyName, ledger: LedgerOf) -> None:
    """Deletes a set. 409 while a live run uses it."""
    if not delete_set(ledger, name):
        raise NotFound(f"there is no problem set `{name}`")


def _found(ledger: Any, name: str) -> Any:
    row = get_set(ledger, name)
    if row is None:
        raise NotFound(f"there is no problem set `{name}`")
    return row


def _shown(row: Any) -> dict[str, Any]:
    return {"name": row.name, "count": row.size, "created_at": row.created_at}
