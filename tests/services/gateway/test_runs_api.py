"""Runs over HTTP: posted once, moved, deleted with all that hangs on them."""

import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from services.gateway import runs, sources
from shared.artifacts import item_folder, write_bytes
from shared.contracts.recipe import Recipe
from shared.ledger.database import Ledger
from shared.ledger.items import NewItem, NewRecord, claim, report_progress
from shared.ledger.opening import open_stage
from shared.ledger.problems import get_set, iterate_problems, list_sets
from shared.ledger.records import UsageRow, append_usage
from shared.ledger.runs import list_runs
from shared.ledger.setbacks import fail
from shared.ledger.spending import hold, pause_at_cap
from shared.problems.generate import generate

from .conftest import RECIPE


def test_posting(http: TestClient, sums: str) -> None:
    answer = http.post("/v1/runs", json=RECIPE)
    assert answer.status_code == 202
    run = answer.json()
    assert answer.headers["location"] == f"/v1/runs/{run['id']}"
    assert run["state"] == "checking"
    assert list(run["stages"]) == ["preflight", "search", "measure"]
    assert run["stages"]["measure"]["needs"] == ["search"]
    found = http.get(answer.headers["location"]).json()
    assert found == run
    assert http.get(f"/v1/runs/{run['id']}/recipe").json() == Recipe.model_validate(RECIPE).model_dump(mode="json")


def test_yaml_makes_the_same_recipe(http: TestClient, sums: str) -> None:
    posted = http.post("/v1/runs", content=yaml.safe_dump(RECIPE), headers={"Content-Type": "application/yaml"}).json()
    assert http.get(f"/v1/runs/{posted['id']}/recipe").json() == Recipe.model_validate(RECIPE).model_dump(mode="json")


def test_a_recipe_has_an_end(http: TestClient) -> None:
    assert http.post("/v1/runs", content=b" " * (2**20 + 1)).status_code == 413


def test_the_same_key_and_body_is_the_same_run(http: TestClient, sums: str, ledger: Ledger) -> None:
    key = {"Idempotency-Key": "one"}
    first = http.post("/v1/runs", json=RECIPE, headers=key)
    again = http.post("/v1/runs", json=RECIPE, headers=key)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert again.headers["location"] == first.headers["location"]
    changed = http.post("/v1/runs", json={**RECIPE, "seed": 1}, headers=key)
    assert changed.status_code == 422
    assert changed.json()["type"] == "idempotency-key-reused"
    assert http.post("/v1/runs", json=RECIPE).json()["id"] != first.json()["id"]
    assert len(list_runs(ledger)) == 2


def test_a_refused_recipe_leaves_its_key_free(http: TestClient, sums: str) -> None:
    key = {"Idempotency-Key": "one"}
    assert http.post("/v1/runs", json={**RECIPE, "name": "Not A Name"}, headers=key).status_code == 422
    assert http.post("/v1/runs", json=RECIPE, headers=key).status_code == 202


def test_while_the_first_request_is_answered_the_second_is_told_to_wait(
    http: TestClient, sums: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    unhurried = sources.prepare_sources

    def held(*given: Any) -> Any:
        begun.set()
        assert go_on.wait(20)
        return unhurried(*given)

    monkeypatch.setattr(runs, "prepare_sources", held)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(http.post, "/v1/runs", json=RECIPE, headers={"Idempotency-Key": "one"})
        assert begun.wait(20)
        second = http.post("/v1/runs", json=RECIPE, headers={"Idempotency-Key": "one"})
        go_on.set()
        assert first.result().status_code == 202
    assert (second.status_code, second.json()["type"]) == (409, "in-flight")
    third = http.post("/v1/runs", json=RECIPE, headers={"Idempotency-Key": "one"})
    assert third.json()["id"] == first.result().json()["id"]


def test_generators_are_stored_as_sets_once_whoever_comes_at_once(http: TestClient, ledger: Ledger) -> None:
    recipe = copy.deepcopy(RECIPE)
    recipe["problems"] = {"train": {"generator": "arithmetic", "seed": 4, "skip": 10, "count": 1200}}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: http.post("/v1/runs", json=recipe), range(4)))
    assert [answer.status_code for answer in answers] == [202] * 4
    [row] = list_sets(ledger)
    assert (row.name, row.size) == ("arithmetic.seed4.10-1210", 1200)
    expected = [problem.model_dump(mode="json") for problem in generate("arithmetic", 4, 10, 1200)]
    assert list(iterate_problems(ledger, row.name)) == expected


def test_sources_that_no_stage_uses_are_left_alone(http: TestClient, sums: str, ledger: Ledger) -> None:
    recipe = copy.deepcopy(RECIPE)
    recipe["problems"]["spare"] = {"generator": "arithmetic", "count": 5}
    assert http.post("/v1/runs", json=recipe).status_code == 202
    assert get_set(ledger, "arithmetic.seed0.0-5") is None


def test_how_a_run_stands(http: TestClient, run_id: str, ledger: Ledger) -> None:
    new = [NewItem(key=str(number), service="searcher", payload={}, max_attempts=1) for number in range(3)]
    open_stage(ledger, run_id, "search", new)
    running, dead = (claim(ledger, f"{run_id}/search/{key}", "hands", 30) for key in "01")
    assert running
    assert dead
    report_progress(ledger, running, {"step": 3, "of": 8})
    append_usage(ledger, running, [UsageRow("policy", "m", 2, 100, 50, 0.25), UsageRow("policy", "m", 1, 10, 5, 0.25)])
    fail(ledger, dead, "no luck")
    run = http.get(f"/v1/runs/{run_id}").json()
    stage = run["stages"]["search"]
    counts = {"total": 3, "running": 1, "dead": 1, "queued": 1, "done": 0, "cancelled": 0, "failed": 1, "lost": 0}
    assert {name: stage[name] for name in counts} == counts
    assert stage["state"] == "open"
    assert stage["progress"] == {"0": {"step": 3, "of": 8}}
    assert run["stages"]["measure"]["total"] == 0
    assert run["usage"]["prompt_tokens"] == 110
    assert run["usage"]["cost"] == 0.5 and run["usage"]["cached"] == 0 and run["spending"] is None
    assert run["usage"]["by"] == [
        {
            "stage": "search",
            "role": "policy",
            "model": "m",
            "requests": 3,
            "prompt_tokens": 110,
            "completion_tokens": 55,
            "cached": 0,
            "cost": 0.5,
        }
    ]
    [item] = http.get(f"/v1/runs/{run_id}/items", params={"state": "dead"}).json()["items"]
    assert (item["key"], item["error"], item["attempts"]) == ("1", "no luck", 1)


def test_pausing_resuming_cancelling(http: TestClient, run_id: str) -> None:
    path = f"/v1/runs/{run_id}"
    assert http.post(f"{path}/pause").json()["state"] == "paused"
    assert http.get("/v1/runs").json()["runs"][0]["state"] == "paused"
    assert http.post(f"{path}/resume").json()["state"] == "checking"
    assert http.delete(path).status_code == 409
    assert http.post(f"{path}/cancel").json()["state"] == "cancelled"
    assert http.post(f"{path}/cancel").json()["state"] == "cancelled"
    for action in ("pause", "resume"):
        refused = http.post(f"{path}/{action}")
        assert refused.status_code == 409
        assert "ended already" in refused.json()["detail"]


def test_a_run_that_is_done_cannot_be_cancelled(http: TestClient, run_id: str, finish: Callable[[str], None]) -> None:
    finish(run_id)
    assert http.post(f"/v1/runs/{run_id}/cancel").status_code == 409


def test_deleting_takes_everything_along(
    http: TestClient, run_id: str, configured: Path, work: Callable[..., None], finish: Callable[[str], None]
) -> None:
    work(run_id, "search", [NewRecord("tree", "p0", {"id": "p0"})])
    write_bytes(f"{item_folder(run_id, 'search', 'item0', 1)}/notes.txt", b"text")
    finish(run_id)
    assert http.delete(f"/v1/runs/{run_id}").status_code == 204
    assert http.get(f"/v1/runs/{run_id}").status_code == 404
    assert http.delete(f"/v1/runs/{run_id}").status_code == 404
    assert not (configured / "artifacts" / "runs" / run_id).exists()
    assert http.get("/v1/problem-sets/sums").status_code == 200


def test_runs_by_pages(http: TestClient, sums: str) -> None:
    posted = [http.post("/v1/runs", json=RECIPE).json()["id"] for _ in range(3)]
    first = http.get("/v1/runs", params={"limit": 2}).json()
    second = http.get("/v1/runs", params={"limit": 2, "cursor": first["next"]}).json()
    assert [run["id"] for run in first["runs"] + second["runs"]] == posted[::-1]
    assert second["next"] is None


def test_a_spend_cap_is_shown_raised_and_refused_where_it_leaves_no_room(http: TestClient, ledger: Ledger, sums: str) -> None:
    run = http.post("/v1/runs", json={**RECIPE, "spend_cap": 1.5}).json()
    assert run["spending"] == {"cap": 1.5, "spent": 0.0, "held": 0.0}
    path = f"/v1/runs/{run['id']}"
    assert hold(ledger, run["id"], 1.0)
    pause_at_cap(ledger, run["id"], 0.75)
    paused = http.get(path).json()
    assert paused["state"] == "paused" and "the next request may cost $0.7500" in paused["reason"]
    refused = http.post(f"{path}/resume", params={"spend_cap": 0.5})
    assert refused.status_code == 409 and "give a higher cap" in refused.json()["detail"]
    resumed = http.post(f"{path}/resume", params={"spend_cap": 4}).json()
    assert (resumed["state"], resumed["reason"], resumed["spending"]["cap"]) == ("checking", None, 4.0)
    assert http.post(f"{path}/resume", params={"spend_cap": 0}).status_code == 422


def test_checking_a_recipe_stores_nothing(http: TestClient, sums: str, ledger: Ledger) -> None:
    sources = {
        **RECIPE["problems"],
        "made": {"generator": "arithmetic", "seed": 3, "count": 300},
        "part": {"set": "sums", "skip": 3},
    }
    stages = {**RECIPE["stages"], "data": {"kind": "import", "problems": "made"}, "few": {"kind": "import", "problems": "part"}}
    recipe = {**RECIPE, "problems": sources, "stages": stages}
    before = [row.name for row in list_sets(ledger)]
    answer = http.post("/v1/runs/check", json=recipe)
    assert answer.status_code == 200
    assert answer.json()["recipe"] == Recipe.model_validate(recipe).model_dump(mode="json")
    found = answer.json()["problems"]
    assert found["train"] == {"count": 5, "read": 5, "question": 5.0, "solution": None, "steps": None, "labelled": None}
    assert (found["part"]["count"], found["made"]["count"], found["made"]["read"]) == (2, 300, 200)
    assert found["made"]["steps"] > 2
    assert [row.name for row in list_sets(ledger)] == before
    assert list_runs(ledger, None, 10) == []


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"problems": {"train": {"set": "none"}}}, "problems.train.set"),
        ({"problems": {"train": {"set": "sums", "skip": 5}}}, "problems.train.skip"),
        ({"problems": {"train": {"generator": "arithmetic", "count": 1_000_001}}}, "problems.train"),
        ({"stages": {}}, "stages"),
        ({"name": "Ä"}, "name"),
    ],
)
def test_checking_refuses_what_posting_refuses(http: TestClient, sums: str, change: dict[str, Any], place: str) -> None:
    checked, posted = http.post("/v1/runs/check", json={**RECIPE, **change}), http.post("/v1/runs", json={**RECIPE, **change})
    assert checked.status_code == posted.status_code == 422
    assert checked.json()["errors"] == posted.json()["errors"]
    assert checked.json()["errors"][0]["place"] == place
