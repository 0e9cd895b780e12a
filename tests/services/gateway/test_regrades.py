"""Recipes that regrade an earlier run: taken when its samples are there, refused with one message when they are not."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from shared.ledger.database import Ledger
from shared.ledger.items import NewItem
from shared.ledger.opening import open_stage
from tests.services.gateway.test_scores_api import sample


def recipe(run: str, stage: str = "measure", **more: Any) -> dict[str, Any]:
    regraded = {"kind": "evaluate", "problems": "train", "regrade": {"run": run, "stage": stage}, **more}
    return {"name": "again", "problems": {"train": {"set": "sums"}}, "stages": {"anew": regraded}}


@pytest.fixture
def measured(run_id: str, work: Callable[..., None]) -> str:
    work(run_id, "measure", [sample("p0", 0, True), sample("p1", 0, False)])
    return run_id


@pytest.mark.parametrize("more", [{}, {"models": ["base"]}])
def test_a_run_with_samples_is_regraded_without_its_models(http: TestClient, measured: str, more: dict[str, Any]) -> None:
    answer = http.post("/v1/runs", json=recipe(measured, **more))
    assert answer.status_code == 202, answer.text
    assert list(answer.json()["stages"]) == ["preflight", "anew"]
    assert http.get(f"/v1/runs/{answer.json()['id']}/recipe").json()["stages"]["anew"]["regrade"]["run"] == measured


@pytest.mark.parametrize(
    ("stage", "more", "place", "message"),
    [
        ("measured", {}, "stages.anew.regrade.stage", "run RUN has no evaluate stage `measured` (its evaluations: measure)"),
        ("search", {}, "stages.anew.regrade.stage", "run RUN has no evaluate stage `search` (its evaluations: measure)"),
        ("measure", {"models": ["best"]}, "stages.anew.models.0", "run RUN measured no model `best` there (it measured: base)"),
        (
            "measure",
            {"reward_aggregate": "mean"},
            "stages.anew.reward_aggregate",
            "stage `measure` of run RUN names no `reward`: there are no scores to make weights of",
        ),
        (
            "measure",
            {"samples": 4},
            "stages.anew.samples",
            "a stage with `regrade` asks no model: the samples are those of the earlier run",
        ),
    ],
)
def test_what_is_not_there_is_refused(
    http: TestClient, measured: str, stage: str, more: dict[str, Any], place: str, message: str
) -> None:
    for path in ("/v1/runs", "/v1/runs/check"):
        answer = http.post(path, json=recipe(measured, stage, **more))
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"place": place, "message": message.replace("RUN", measured)}]


def test_a_run_that_is_not_there_is_refused(http: TestClient, sums: str) -> None:
    [error] = http.post("/v1/runs", json=recipe("tiny-0")).json()["errors"]
    assert error == {"place": "stages.anew.regrade.run", "message": "there is no run `tiny-0` (`longthought runs` lists them)"}


def test_a_stage_without_samples_or_still_sampling_is_refused(http: TestClient, ledger: Ledger, run_id: str) -> None:
    [error] = http.post("/v1/runs", json=recipe(run_id)).json()["errors"]
    assert error == {"place": "stages.anew.regrade", "message": f"stage `measure` of run {run_id} has no samples"}
    open_stage(ledger, run_id, "measure", [NewItem("one", "evaluator", {})])
    [error] = http.post("/v1/runs", json=recipe(run_id)).json()["errors"]
    assert error["message"] == f"stage `measure` of run {run_id} is still sampling: wait for its end"


def test_a_regraded_run_points_to_the_one_that_sampled(http: TestClient, measured: str, work: Callable[..., None]) -> None:
    again = str(http.post("/v1/runs", json=recipe(measured)).json()["id"])
    work(again, "anew", [sample("p0", 0, True)])
    [error] = http.post("/v1/runs", json=recipe(again, "anew")).json()["errors"]
    assert error["message"] == f"these samples are those of run {measured}, stage `measure`: name that one"


def test_an_evaluation_without_models_names_the_place(http: TestClient, sums: str) -> None:
    body = recipe("tiny-0")
    del body["stages"]["anew"]["regrade"]
    assert http.post("/v1/runs", json=body).json()["errors"] == [
        {"place": "stages.anew.models", "message": "is missing: name what is to be measured"}
    ]
