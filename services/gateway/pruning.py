"""Frees what nothing refers to any more: rows of the ledger by kind, and files that no row names."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fsspec.core import url_to_fs

from services.gateway.dependencies import LedgerOf, Text
from shared.artifacts import delete_folder, list_files, run_folder
from shared.ledger.database import Ledger
from shared.ledger.pruning import KINDS, RESULTS, ended_runs, prune
from shared.ledger.records import page_records
from shared.ledger.runs import get_run, list_models

router = APIRouter(tags=["operations"])

Kind = Literal["partials", "attempts", "events", "records", "answers", "workers", "files"]
DAY = 86400.0


@router.post("/prune")
def post_prune(
    ledger: LedgerOf,
    kind: Annotated[list[Kind] | None, Query(description="What to free; all but `answers` and `records` if not given")] = None,
    older_than_days: Annotated[float, Query(ge=0)] = 30.0,
    run: Text = None,
    dry_run: bool = True,
) -> dict[str, Any]:
    """How many rows (files: and bytes) of each kind went, or would go. Live runs, and what a result rests on, are never touched."""
    seconds = older_than_days * DAY
    kinds = kind or ["partials", "attempts", "events", "workers", "files"]
    freed: dict[str, Any] = {one: {"rows": prune(ledger, one, seconds, run, dry_run)} for one in KINDS if one in kinds}
    if "files" in kinds:
        freed["files"] = prune_files(ledger, seconds, run, dry_run)
    return {"dry_run": dry_run, "freed": freed}


def prune_files(ledger: Ledger, seconds: float, run_id: str | None, dry: bool) -> dict[str, int]:
    """Deletes the folders of ended runs' attempts that no result names, and those of runs that the ledger no longer has."""
    count = size = 0
    for folder in [*_attempts(ledger, seconds, run_id), *_orphans(ledger, run_id)]:
        sizes = [_size(url) for _, url in list_files(folder)]
        count, size = count + len(sizes), size + sum(sizes)
        if not dry:
            delete_folder(folder)
    return {"files": count, "bytes": size}


def _attempts(ledger: Ledger, seconds: float, run_id: str | None) -> Iterator[str]:
    """Folders STAGE/ITEM/FENCE of ended runs that no result and no checkpoint lies in."""
    for run in ended_runs(ledger, seconds, run_id):
        root = run_folder(run)
        named = [text for text in _named(ledger, run) if text.startswith(root)]
        parts = {"/".join(path.split("/")[:3]) for path, _ in list_files(root) if path.count("/") >= 3}
        for part in sorted(parts):
            folder = f"{root}/{part}"
            if not any(text == folder or text.startswith(f"{folder}/") for text in named):
                yield folder


def _named(ledger: Ledger, run_id: str) -> Iterator[str]:
    """Every text in the run's results, where addresses of files stand."""
    for kind in RESULTS:
        after = 0
        while page := page_records(ledger, run_id, kind=kind, after=after):
            for row in page:
                yield from _texts(row.body)
            after = page[-1].id
    yield from (row.uri for row in list_models(ledger, [run_id]))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _orphans(ledger: Ledger, run_id: str | None) -> Iterator[str]:
    """Folders of runs that were deleted."""
    root = run_folder("x").removesuffix("/x")
    fs, path = url_to_fs(root)
    names = [str(found).rstrip("/").rsplit("/", 1)[-1] for found in (fs.ls(path, detail=False) if fs.exists(path) else [])]
    yield from (run_folder(name) for name in sorted(names) if (run_id in (None, name)) and get_run(ledger, name) is None)


def _size(url: str) -> int:
    fs, path = url_to_fs(url)
    return int(fs.size(path))
