"""Records, reports, datasets and files over HTTP."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from shared.artifacts import item_folder, write_bytes
from shared.ledger.items import NewRecord


def score(accuracy: float) -> dict[str, Any]:
    return {"pass_at_1": accuracy, "stderr": 0.1, "maj_at_k": accuracy, "avg_tokens": 80.0, "n": 5}


def test_records_by_pages_and_filters(http: TestClient, run_id: str, work: Callable[..., None]) -> None:
    work(run_id, "search", *[[NewRecord("tree", f"p{n}/{m}", {"n": n}) for m in range(2)] for n in range(4)])
    work(run_id, "measure", [NewRecord("sample", "p0/0", {"n": 0})])
    path = f"/v1/runs/{run_id}/records"
    seen: list[str] = []
    cursor = None
    while True:
        page = http.get(path, params={"kind": "tree", "limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        seen += [record["key"] for record in page["records"]]
        cursor = page["next"]
        if not cursor:
            break
    assert seen == [f"p{n}/{m}" for n in range(4) for m in range(2)]
    [one] = http.get(path, params={"stage": "search", "key": "p3/1"}).json()["records"]
    assert (one["body"], one["stage"], one["item"]) == ({"n": 3}, "search", f"{run_id}/search/item3")
    assert len(http.get(path).json()["records"]) == 9
    items = http.get(f"/v1/runs/{run_id}/items", params={"limit": 4}).json()
    rest = http.get(f"/v1/runs/{run_id}/items", params={"limit": 4, "cursor": items["next"]}).json()
    assert [(item["stage"], item["key"]) for item in items["items"] + rest["items"]] == [
        ("measure", "item0"),
        *[("search", f"item{n}") for n in range(4)],
    ]


@pytest.mark.parametrize("cursor", ["x", "WzFd" * 300, "WyJhIl0", "WzEuNV0", "W1tdXQ", "%00", "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OV0"])
def test_cursors_that_nobody_gave_out(http: TestClient, run_id: str, cursor: str) -> None:
    answer = http.get(f"/v1/runs/{run_id}/records?cursor={cursor}")
    assert answer.status_code in (400, 422)
    assert "cursor" in answer.json()["detail"]


def test_the_report_is_empty_before_there_is_one(http: TestClient, run_id: str) -> None:
    report = http.get(f"/v1/runs/{run_id}/report").json()
    assert report == {
        "models": {},
        "plots": [],
        "tables": [],
        "benchmarks": {},
        "rewards": {},
        "scores": {},
        "costs": {},
        "curations": {},
        "picks": {},
        "datasets": {},
        "checkpoints": {},
    }


def test_the_report_of_one_stage(http: TestClient, run_id: str, work: Callable[..., None]) -> None:
    plot = f"{item_folder(run_id, 'measure', 'item0', 1)}/plot.png"
    write_bytes(plot, b"PNG")
    body = {
        "models": {"base": score(0.5)},
        "benchmark": "sums",
        "comparable": True,
        "plot": plot,
        "origin": {},
        "samples_missing": 0,
    }
    work(run_id, "measure", [NewRecord("report", "report", body)])
    report = http.get(f"/v1/runs/{run_id}/report").json()
    assert report["models"] == {"base": score(0.5)}
    assert report["benchmarks"]["measure"]["comparable"] is True
    [shown] = report["plots"]
    assert (shown["stage"], shown["kind"], shown["uri"]) == ("measure", "plot", plot)
    file = http.get(f"/v1/runs/{run_id}/files/{shown['file']}")
    assert (file.content, file.headers["content-type"], file.headers["content-length"]) == (b"PNG", "image/png", "3")
    assert http.get(f"/v1/runs/{run_id}/files").json()["files"] == [{"file": "measure/item0/1/plot.png", "size": 3}]


def test_every_file_of_a_report_is_named_and_served(http: TestClient, run_id: str, work: Callable[..., None]) -> None:
    fields = {"plot": "a.png", "curves_plot": "b.png", "table": "t.md", "table_latex": "t.tex", "curves_vega": "c.vl.json"}
    folder = item_folder(run_id, "measure", "close", 1)
    named = {field: write_bytes(f"{folder}/{name}", name.encode()) for field, name in fields.items()}
    body = {"benchmark": "sums", "comparable": True, "origin": {}, "models": {"base": score(0.5)}, "curves": {"base": []}}
    work(run_id, "measure", [NewRecord("report", "report", {**body, **named})])
    report = http.get(f"/v1/runs/{run_id}/report").json()
    assert [one["kind"] for one in report["plots"]] == ["plot", "curves_plot"]
    assert [one["kind"] for one in report["tables"]] == ["table", "table_latex", "curves_vega"]
    for one in (*report["plots"], *report["tables"]):
        assert http.get(f"/v1/runs/{run_id}/files/{one['file']}").content.decode() == fields[one["kind"]]
    assert report["benchmarks"]["measure"]["curves"] == {"base": []}


def test_a_model_measured_twice_is_told_apart(http: TestClient, run_id: str, work: Callable[..., None]) -> None:
    body = {"benchmark": "sums", "comparable": True, "plot": None, "origin": {}}
    work(run_id, "search", [NewRecord("report", "report", {**body, "models": {"base": score(0.2), "only": score(0.3)}})])
    work(run_id, "measure", [NewRecord("report", "report", {**body, "models": {"base": score(0.4)}})])
    models = http.get(f"/v1/runs/{run_id}/report").json()["models"]
    assert {name: figures["pass_at_1"] for name, figures in models.items()} == {
        "base@search": 0.2,
        "base@measure": 0.4,
        "only": 0.3,
    }


def test_datasets(http: TestClient, run_id: str, work: Callable[..., None]) -> None:
    folder = item_folder(run_id, "search", "item0", 1)
    contents = {"README.md": b"# card", "journey/train.jsonl": b'{"a": 1}\n' * 1000, "empty": b""}
    for path, content in contents.items():
        write_bytes(f"{folder}/{path}", content)
    write_bytes(f"{item_folder(run_id, 'search', 'item0', 7)}/stale", b"of another fence")
    work(run_id, "search", [NewRecord("dataset", "dataset", {"uri": folder, "counts": {"journey": 1000}})])
    work(run_id, "measure", [NewRecord("dataset", "dataset", {"uri": None, "counts": {}, "skipped": {"no verified leaf": 5}})])
    assert http.get(f"/v1/runs/{run_id}/datasets").json()["datasets"]["search"]["counts"] == {"journey": 1000}
    assert http.get(f"/v1/runs/{run_id}/report").json()["datasets"].keys() == {"search", "measure"}
    answer = http.get(f"/v1/runs/{run_id}/datasets/search")
    assert answer.headers["content-type"] == "application/x-tar"
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        found = {member.name: archive.extractfile(member).read() for member in archive.getmembers()}  # type: ignore[union-attr]
    assert found == contents
    nothing = http.get(f"/v1/runs/{run_id}/datasets/measure")
    assert nothing.status_code == 404
    assert "no verified leaf" in nothing.json()["detail"]
    assert http.get(f"/v1/runs/{run_id}/datasets/other").status_code == 404


@pytest.mark.parametrize(
    "file", ["nothing", "..%2f..%2fledger.db", "%2e%2e/%2e%2e/ledger.db", "%2fetc/passwd", "a%00b", "a%5c..", "", "measure"]
)
def test_files_outside_the_runs_folder_are_not_there(http: TestClient, run_id: str, configured: Path, file: str) -> None:
    write_bytes(f"{item_folder(run_id, 'measure', 'item0', 1)}/plot.png", b"PNG")
    answer = http.get(f"/v1/runs/{run_id}/files/{file}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
