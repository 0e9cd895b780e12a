"""What came of a run: the report, datasets and files."""

import mimetypes
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import fsspec
from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from fsspec.core import url_to_fs
from sqlalchemy import Row

from services.gateway.dependencies import LedgerOf, RunOf
from services.gateway.errors import NotFound
from services.gateway.people import people
from shared.artifacts import list_files, run_folder
from shared.ledger.database import Ledger
from shared.ledger.records import page_records, run_usage
from shared.ledger.runs import stage_counts
from shared.ledger.tables import ItemState

router = APIRouter(prefix="/runs/{run_id}", tags=["results"])

CHUNK = 2**18
PLOTS = ("plot", "curves_plot")
TABLES = ("table", "table_latex", "curves_table", "curves_latex", "curves_vega")
"""Fields of a report that name files."""


@router.get("/report")
def get_report(ledger: LedgerOf, run: RunOf) -> dict[str, Any]:
    """The figures of all `evaluate` and `eval_reward` stages, curations, datasets and checkpoints; empty as long as there are none.

    `models`: a model's figures by its name; measured by several stages, by NAME@STAGE. `rewards`: a reward's figures, by stage.
    `scores`: people's, by stage, beside the machine's of the same samples. `costs`: US dollars by stage, for an item and for an
    accepted sample. `picks`: which training was chosen, and from which, by stage. `plots`: the pictures; `tables`: the reports'
    other files; `kind` is the report's field that names the file, and `file` its path below `files/`.
    """
    reports = {row.stage: row.body for row in _all(ledger, run.id, "report")}
    times = Counter(name for report in reports.values() for name in report["models"])
    models = {
        name if times[name] == 1 else f"{name}@{stage}": score
        for stage, report in reports.items()
        for name, score in report["models"].items()
    }
    return {
        "models": models,
        "plots": _files(run.id, reports, PLOTS),
        "tables": _files(run.id, reports, TABLES),
        "benchmarks": {
            stage: {key: report[key] for key in report if key not in ("models", "origin")} for stage, report in reports.items()
        },
        "rewards": {row.stage: row.body for row in _all(ledger, run.id, "reward_report")},
        "scores": people(ledger, run.id, _all(ledger, run.id, "score")),
        "costs": costs(ledger, run.id),
        "picks": {row.stage: row.body for row in _all(ledger, run.id, "pick")},
        "curations": {row.stage: row.body for row in _all(ledger, run.id, "curation")},
        "datasets": {row.stage: row.body for row in _all(ledger, run.id, "dataset")},
        "checkpoints": {row.stage: row.body for row in _all(ledger, run.id, "checkpoint")},
    }


def costs(ledger: Ledger, run_id: str) -> dict[str, dict[str, Any]]:
    """By stage, of those that paid or bought samples: US dollars in all, an item, and an accepted sample; why others failed."""
    dollars: Counter[str] = Counter()
    for row in run_usage(ledger, run_id):
        dollars[row.stage] += row.cost
    samples, accepted = Counter[str](), Counter[str]()
    failed: dict[str, Counter[str]] = {}
    for row in _all(ledger, run_id, "tally"):
        failed.setdefault(row.stage, Counter()).update(row.body.get("failed", {}))
        samples[row.stage] += row.body.get("samples", 0)
        accepted[row.stage] += row.body.get("accepted", 0)
    done = {stage: states.get(ItemState.DONE, 0) for stage, states in stage_counts(ledger, run_id).items()}
    return {
        stage: {
            "cost": dollars[stage],
            "cost_per_item": dollars[stage] / done[stage] if done.get(stage) else None,
            "samples": samples[stage],
            "accepted": accepted[stage],
            "cost_per_accepted": dollars[stage] / accepted[stage] if accepted[stage] else None,
            "failed": dict(sorted(failed.get(stage, {}).items())),
        }
        for stage in sorted({*(name for name, cost in dollars.items() if cost), *(name for name, n in samples.items() if n)})
    }


@router.get("/datasets")
def get_datasets(ledger: LedgerOf, run: RunOf) -> dict[str, Any]:
    """What was exported, by stage: counts, statistics, and why the rest was passed over."""
    return {"datasets": {row.stage: row.body for row in _all(ledger, run.id, "dataset")}}


@router.get("/datasets/{stage}", response_class=StreamingResponse)
def download_dataset(ledger: LedgerOf, run: RunOf, stage: str) -> StreamingResponse:
    """An exported dataset's folder as a .tar: Parquet, JSONL and the card."""
    rows = [row for row in _all(ledger, run.id, "dataset") if row.stage == stage]
    if not rows:
        raise NotFound(f"run {run.id} has no dataset `{stage}` (yet)")
    [row] = rows
    if row.body["uri"] is None:
        raise NotFound(f"dataset `{stage}` holds nothing; passed over: {row.body.get('skipped') or 'nothing'}")
    headers = {"Content-Disposition": f'attachment; filename="{run.id}-{stage}.tar"'}
    files = list(list_files(row.body["uri"]))
    if not files:
        raise NotFound(f"the files of dataset `{stage}` are gone from {row.body['uri']}")
    return StreamingResponse(_tar(files, int(row.created_at)), media_type="application/x-tar", headers=headers)


@router.get("/files")
def get_files(run: RunOf) -> dict[str, Any]:
    """All files of a run: exports, plots, checkpoints."""
    return {"files": [{"file": path, "size": _size(url)} for path, url in list_files(run_folder(run.id))]}


@router.get("/files/{file:path}", response_class=StreamingResponse)
def get_file(run: RunOf, file: str) -> StreamingResponse:
    """One file of a run."""
    parts = PurePosixPath(file).parts
    if not parts or ".." in parts or parts[0] == "/" or "\0" in file or "\\" in file:
        raise NotFound(f"run {run.id} has no file `{file}`")
    url = f"{run_folder(run.id)}/{'/'.join(parts)}"
    fs, path = url_to_fs(url)
    if not fs.isfile(path):
        raise NotFound(f"run {run.id} has no file `{file}`")
    kind = mimetypes.guess_type(file)[0] or "application/octet-stream"
    return StreamingResponse(_chunks(url), media_type=kind, headers={"Content-Length": str(_size(url))})


def _all(ledger: Ledger, run_id: str, kind: str) -> Iterator[Row[Any]]:
    """All records of a kind of which a run has few."""
    after = 0
    while page := page_records(ledger, run_id, kind=kind, after=after):
        yield from page
        after = page[-1].id


def _files(run_id: str, reports: Mapping[str, Mapping[str, Any]], kinds: Sequence[str]) -> list[dict[str, Any]]:
    """Where the files lie that reports name in the fields `kinds`; `reports` by stage."""
    return [
        {"stage": stage, "kind": kind, "uri": report[kind], "file": _below(run_id, report[kind])}
        for stage, report in reports.items()
        for kind in kinds
        if report.get(kind)
    ]


def _below(run_id: str, url: str) -> str | None:
    """A file's path below the run's folder; None if it lies elsewhere."""
    folder = f"{run_folder(run_id)}/"
    return url.removeprefix(folder) if url.startswith(folder) else None


def _size(url: str) -> int:
    fs, path = url_to_fs(url)
    return int(fs.size(path))


def _chunks(url: str) -> Iterator[bytes]:
    with fsspec.open(url, "rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _tar(files: list[tuple[str, str]], mtime: int) -> Iterator[bytes]:
    """A tar archive piece by piece: no copy of it lies anywhere."""
    for path, url in files:
        header = tarfile.TarInfo(path)
        header.size, header.mtime, header.mode = _size(url), mtime, 0o644
        yield header.tobuf(tarfile.PAX_FORMAT)
        yield from _chunks(url)
        yield b"\0" * (-header.size % tarfile.BLOCKSIZE)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)
