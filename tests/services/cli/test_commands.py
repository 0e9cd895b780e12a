"""What scripts rely on: stdout, stderr and exit codes of the commands, against a gateway of canned answers."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.cli import connect, watch
from services.cli.main import app
from tests.services.cli.fake_gateway import Answer, fake_gateway, run, stage

RECIPE = """\
name: tiny
models:
  base: {model: smollm2-135m-instruct}
problems: {heldout: {generator: arithmetic, count: 10}}
stages:
  measure:
    kind: evaluate
    models: [base]
    problems: heldout
"""
POSTED = {"POST /v1/runs": [(202, run("checking"))]}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(connect, "PATIENCE_SECONDS", 0.0)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


def longthought(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"LONGTHOUGHT_URL": url, "LONGTHOUGHT_API_KEY": "lt-test"})


def states(*found: dict[str, Any]) -> dict[str, list[Answer]]:
    return {**POSTED, "GET /v1/runs/tiny-1": [(200, status) for status in found]}


@pytest.mark.parametrize(
    ("watched", "found", "code", "words"),
    [
        (False, [run("checking"), run("running")], 0, "Running."),
        (False, [run("checking"), run("done")], 0, "tiny-1: done after 1:00."),
        (False, [run("checking"), run("rejected", "models.base: no such model")], 2, "recipe.yaml:3: models.base: no such model"),
        (True, [run("checking"), run("rejected", "models.base: no such model")], 2, "recipe.yaml:3: models.base: no such model"),
        (True, [run("running"), run("running"), run("done")], 0, "tiny-1: done"),
        (True, [run("running"), run("failed", "stage measure: 2 items are dead")], 1, "stage measure: 2 items are dead"),
        (True, [run("running"), run("cancelled", "cancelled by request")], 1, "tiny-1: cancelled"),
        (True, [run("running"), run("paused"), run("running"), run("done")], 0, "tiny-1: done"),
    ],
)
def test_run_prints_the_id_alone_and_exits_as_the_run_ended(
    recipe: Path, watched: bool, found: list[dict[str, Any]], code: int, words: str
) -> None:
    with fake_gateway(states(*found)) as gateway:
        result = longthought(gateway.url, "run", str(recipe), *(["--watch"] if watched else []))
    assert result.exit_code == code, result.stderr
    assert result.stdout == "tiny-1\n"
    assert words in result.stderr


def test_run_posts_the_changed_recipe_with_a_key(recipe: Path) -> None:
    with fake_gateway(states(run("running"))) as gateway:
        assert longthought(gateway.url, "run", str(recipe), "--set", "stages.measure.samples=4", "--set", "seed=9").exit_code == 0
    line, headers, body = gateway.seen[0]
    assert line == "POST /v1/runs"
    assert headers["Idempotency-Key"]
    assert headers["Authorization"] == "Bearer lt-test"
    assert json.loads(body)["stages"]["measure"]["samples"] == 4
    assert json.loads(body)["seed"] == 9


def test_a_refused_recipe_names_file_line_and_place(recipe: Path) -> None:
    errors = [
        {"place": "stages.measure.models.0", "message": "nothing is named `bass`"},
        {"place": "stages.measure.samples", "message": "must be at least 1 (got 0)"},
        {"place": "", "message": "the recipe holds a NUL character"},
    ]
    answers: dict[str, list[Answer]] = {
        "POST /v1/runs": [(422, {"title": "The recipe is not valid.", "detail": "...", "errors": errors})]
    }
    with fake_gateway(answers) as gateway:
        result = longthought(gateway.url, "run", str(recipe), "--set", "stages.measure.samples=0")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.replace(f"{recipe.parent}/", "").splitlines() == [
        "recipe.yaml:8: stages.measure.models.0: nothing is named `bass`",
        "--set: stages.measure.samples: must be at least 1 (got 0)",
        "recipe.yaml:1: the recipe holds a NUL character",
    ]


def test_a_bad_recipe_file_never_reaches_the_gateway(recipe: Path) -> None:
    with fake_gateway({}) as gateway:
        result = longthought(gateway.url, "run", str(recipe), "--set", "stages.mesure.samples=4")
    assert (result.exit_code, result.stdout, gateway.seen) == (2, "", [])
    assert "stages.mesure.samples: unknown path" in result.stderr


def test_watching_tells_of_stages_and_survives_a_gateway_that_is_away(recipe: Path) -> None:
    away: Answer = (503, {"title": "Not available for the moment."})
    training = stage("open", 1, 0, running=1, progress={"train": {"step": 30, "of": 80, "loss": 1.234}})
    answers = states(run("running", measure=training), run("running", measure=training), run("done", measure=stage("done", 1, 1)))
    answers["GET /v1/runs/tiny-1"].insert(2, away)
    with fake_gateway(answers) as gateway:
        result = longthought(gateway.url, "run", str(recipe), "--watch")
    assert result.exit_code == 0, result.stderr
    told = result.stderr.splitlines()
    assert "measure: open, 0/1 (38%)  1 running  step 30/80  loss 1.234" in told
    assert "measure: done, 1/1" in told


def test_dead_items_are_told_with_their_errors(recipe: Path) -> None:
    status = run("failed", "stage measure: 1 items are dead", measure=stage("failed", 2, 1, dead=1))
    items = {"items": [{"stage": "measure", "key": "p3", "error": "EngineFailed: out of memory"}], "next": None}
    with fake_gateway({**states(status), "GET /v1/runs/tiny-1/items": [(200, items)]}) as gateway:
        result = longthought(gateway.url, "run", str(recipe), "--watch")
    assert result.exit_code == 1
    assert "dead: measure/p3: EngineFailed: out of memory" in result.stderr


def test_ctrl_c_leaves_the_run_going_and_says_so(recipe: Path) -> None:
    with fake_gateway(states(run("running"))) as gateway:
        environment = {**os.environ, "LONGTHOUGHT_URL": gateway.url}
        command = [sys.executable, "-m", "services.cli.main", "run", str(recipe), "--watch"]
        # in a job that a script put into the background, interrupts are ignored, and whatever it starts inherits that
        heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True, preexec_fn=heard)
        gateway.wait_until_asked("GET /v1/runs/tiny-1", 3)
        process.send_signal(signal.SIGINT)
        told, complaint = process.communicate()
    assert (process.returncode, told) == (130, "tiny-1\n")
    assert "The run goes on" in complaint
    assert not any(line.startswith("POST /v1/runs/") for line, _, _ in gateway.seen)


def test_status_as_json_is_exactly_what_scripts_rely_on() -> None:
    found = run("running", trees=stage("open", 10, 4, dead=1, running=2, queued=3))
    with fake_gateway({"GET /v1/runs/tiny-1": [(200, found)]}) as gateway:
        result = longthought(gateway.url, "status", "tiny-1", "--json")
    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    assert list(shown) == ["id", "state", "stages", "usage"]
    assert shown["stages"]["trees"] == {"state": "open", "total": 10, "done": 4, "dead": 1, "running": 2, "queued": 3}
    assert shown["usage"] == found["usage"]


@pytest.mark.parametrize(
    ("arguments", "answer", "code", "words"),
    [
        (("status", "nope"), (404, {"detail": "there is no run `nope`"}), 2, "there is no run `nope`"),
        (("cancel", "tiny-1"), (409, {"detail": "run tiny-1 has ended already"}), 2, "has ended already"),
        (("runs",), (401, {"detail": "the API key is not known"}), 2, "source DIR/client.env"),
        (("models",), (500, {"detail": "an unforeseen error"}), 1, "an unforeseen error"),
        (("problems", "delete", "gsm8k"), (409, {"detail": "a live run uses it"}), 2, "a live run uses it"),
    ],
)
def test_refusals_are_one_message_and_2_failures_1(arguments: tuple[str, ...], answer: Answer, code: int, words: str) -> None:
    lines = ("GET /v1/runs/nope", "POST /v1/runs/tiny-1/cancel", "GET /v1/runs", "GET /v1/models", "DELETE /v1/problem-sets/gsm8k")
    with fake_gateway({line: [answer] for line in lines}) as gateway:
        result = longthought(gateway.url, *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert words in result.stderr


def test_an_unreachable_gateway_is_one_message_with_its_address_and_what_to_do() -> None:
    with fake_gateway({}) as gateway:
        url = gateway.url
    result = longthought(url, "runs")
    assert (result.exit_code, result.stdout) == (1, "")
    assert url in result.stderr
    assert "longthought up" in result.stderr
    assert "LONGTHOUGHT_URL" in result.stderr


def test_bad_lines_of_a_problem_set_are_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("{}\n")
    refused = {"title": "...", "detail": "...", "errors": [{"line": 1, "message": "no `question`"}], "total": 1}
    with fake_gateway(
        {"POST /v1/problem-sets/mine": [(422, refused), (201, {"name": "mine", "count": 3, "created": True})]}
    ) as gateway:
        result = longthought(gateway.url, "problems", "add", "mine", str(file))
        assert result.exit_code == 2
        assert f"{file}:1: no `question`\nNothing was stored." in result.stderr
        assert longthought(gateway.url, "problems", "add", "mine", str(file)).exit_code == 0
    assert longthought(gateway.url, "problems", "add", "mine", str(tmp_path / "none")).exit_code == 2


def test_prune_shows_what_would_go_and_deletes_with_yes() -> None:
    freed = {"events": {"rows": 1200}, "files": {"files": 3, "bytes": 2**21}}
    with fake_gateway({"POST /v1/prune": [(200, {"dry_run": True, "freed": freed})]}) as gateway:
        env = {"LONGTHOUGHT_URL": gateway.url, "LONGTHOUGHT_API_KEY": "k"}
        shown = CliRunner().invoke(app, ["prune", "--kind", "events", "--kind", "files", "--older-than", "7"], env=env)
        done = CliRunner().invoke(app, ["prune", "--yes", "--json"], env=env)
    assert shown.exit_code == done.exit_code == 0, shown.output + done.output
    assert "1,200 rows" in shown.stdout and "3 files, 2.0 MiB" in shown.stdout and "Nothing was deleted" in shown.output
    asked = [line for line, _, _ in gateway.seen]
    assert "kind=events&kind=files" in asked[0] and "older_than_days=7" in asked[0] and "dry_run=true" in asked[0]
    assert "dry_run=false" in asked[1]
