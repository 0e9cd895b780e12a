"""`longthought regrade`: the recipe it makes of an earlier one, and what it tells of the verdicts."""

import copy
import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.cli import connect, watch
from services.cli.main import app
from shared.contracts.recipe import Recipe
from tests.services.cli.fake_gateway import Answer, fake_gateway, run

RECIPE = {
    "name": "old",
    "seed": 4,
    "models": {"base": {"model": "m"}, "tuned": {"model": "n"}},
    "problems": {"held": {"set": "sums", "skip": 3}, "few": {"generator": "arithmetic", "seed": 7, "count": 5}},
    "stages": {
        "kept": {"kind": "curate", "problems": "held"},
        "measure": {"kind": "evaluate", "models": ["base"], "problems": "kept", "samples": 8, "keywords": ["hmm"]},
        "second": {"kind": "evaluate", "models": ["tuned"], "problems": "few", "judge": "base"},
    },
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(connect, "PATIENCE_SECONDS", 0.0)


def longthought(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"LONGTHOUGHT_URL": url, "LONGTHOUGHT_API_KEY": "lt-test"})


def record(stage: str, key: str, **counts: int) -> dict[str, Any]:
    body = dict.fromkeys(("samples", "judged", "wrong_to_right", "right_to_wrong", "ungraded_before", "ungraded"), 0) | counts
    return {"stage": stage, "kind": "regraded", "key": key, "body": {"version": 1, "model": key.partition("/")[0], **body}}


def answers(*records: dict[str, Any], recipe: Any = RECIPE, state: str = "done") -> dict[str, list[Answer]]:
    return {
        "GET /v1/runs/old-1/recipe": [(200, json.loads(Recipe.model_validate(recipe).model_dump_json()))],
        "POST /v1/runs": [(202, run("checking"))],
        "GET /v1/runs/tiny-1": [(200, run("running")), (200, run(state))],
        "GET /v1/runs/tiny-1/records": [(200, {"records": list(records), "next": None})],
    }


@pytest.mark.parametrize(("options", "stages"), [([], ["measure", "second"]), (["--stage", "second"], ["second"])])
def test_the_recipe_names_the_samples_and_their_problems_and_nothing_else(options: list[str], stages: list[str]) -> None:
    with fake_gateway(answers()) as gateway:
        result = longthought(gateway.url, "regrade", "old-1", *options)
    assert (result.exit_code, result.stdout) == (0, "tiny-1\n"), result.stderr
    [body] = [json.loads(body) for line, _, body in gateway.seen if line == "POST /v1/runs"]
    posted = Recipe.model_validate(body)
    assert (posted.name, posted.models, list(posted.stages)) == ("old-regraded", {}, stages)
    first = posted.stages[stages[0]]
    assert first.regrade.model_dump() == {"run": "old-1", "stage": stages[0]}  # type: ignore[union-attr]
    stored = {"measure": ("sums", 3), "second": ("arithmetic.seed7.0-5", 0)}
    assert {name: (one.stored_as, one.skip) for name, one in posted.problems.items()} == {name: stored[name] for name in stages}


def test_the_watched_run_tells_what_changed() -> None:
    found = [
        record("measure", "base/base-000000", samples=1000, wrong_to_right=3, right_to_wrong=1),
        record("measure", "base/base-001000", samples=200, wrong_to_right=2, ungraded=1, ungraded_before=4),
        record("second", "tuned/tuned-000000", samples=5, judged=5),
    ]
    with fake_gateway(answers(*found)) as gateway:
        result = longthought(gateway.url, "regrade", "old-1", "--watch")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-2:] == [
        "measure, base: 1,200 samples, 5 wrong to right, 1 right to wrong; 1 could not be graded (4 before)",
        "second, tuned: 5 samples, 0 wrong to right, 0 right to wrong; 5 keep a judge's verdict",
    ]


@pytest.mark.parametrize(
    ("recipe", "options", "words"),
    [
        (RECIPE, ["--stage", "kept"], "old-1: it has no evaluate stage `kept` (its evaluations: measure, second)"),
        ({**RECIPE, "stages": {"kept": RECIPE["stages"]["kept"]}}, [], "old-1: it has no evaluate stage, and so no samples"),  # type: ignore[index]
    ],
)
def test_nothing_is_posted_where_nothing_was_measured(recipe: Any, options: list[str], words: str) -> None:
    with fake_gateway(answers(recipe=recipe)) as gateway:
        result = longthought(gateway.url, "regrade", "old-1", *options)
    assert result.exit_code == 2 and words in result.stderr
    assert not [line for line, _, _ in gateway.seen if line == "POST /v1/runs"]


def test_votes_are_weighed_anew_where_there_are_scores() -> None:
    recipe: Any = copy.deepcopy(RECIPE)
    recipe["models"]["scorer"] = {"model": "p", "prm": "skywork"}
    recipe["stages"]["measure"] |= {"reward": "scorer", "reward_aggregate": "last"}
    posted = []
    for options in ([], ["--aggregate", "mean"]):
        with fake_gateway(answers(recipe=recipe)) as gateway:
            assert longthought(gateway.url, "regrade", "old-1", *options).exit_code == 0
        posted += [Recipe.model_validate_json(body) for line, _, body in gateway.seen if line == "POST /v1/runs"]
    given = [[one.reward_aggregate for one in recipe.stages.values()] for recipe in posted]  # type: ignore[union-attr]
    assert given == [[None, None], ["mean", None]]


def test_without_scores_there_is_nothing_to_weigh() -> None:
    with fake_gateway(answers()) as gateway:
        result = longthought(gateway.url, "regrade", "old-1", "--aggregate", "mean")
    assert result.exit_code == 2 and "old-1: measure, second named no `reward`" in result.stderr
    assert not [line for line, _, _ in gateway.seen if line == "POST /v1/runs"]


def test_a_refusal_names_its_place() -> None:
    refused = {
        "title": "no",
        "errors": [{"place": "stages.second.regrade", "message": "stage `second` of run old-1 has no samples"}],
    }
    with fake_gateway({**answers(), "POST /v1/runs": [(422, refused)]}) as gateway:
        result = longthought(gateway.url, "regrade", "old-1")
    assert (result.exit_code, result.stderr) == (2, "stages.second.regrade: stage `second` of run old-1 has no samples\n")
