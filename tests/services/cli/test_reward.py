"""`eval-reward`: the recipe that the options mean, and the figures as they are shown."""

import json
import subprocess
from typing import Any

import pytest
from rich.console import Console

from services.cli.demo import longthought
from services.cli.results import picture
from services.cli.reward import recipe_of
from services.searcher import measures
from shared.contracts.recipe import Recipe
from tests.services.cli.fake_gateway import fake_gateway, run, stage

NOTHING: dict[str, Any] = {"problems": None, "kind": "arithmetic", "setting": {}, "judge": None, "policy": None, "spec": {}}
EMPTY: dict[str, Any] = {"models": {}, "rewards": {}, "costs": {}, "curations": {}, "datasets": {}, "plots": []}
PART = {"count": None, "skip": 0, "seed": 7}


@pytest.mark.parametrize(
    ("options", "reward", "models"),
    [
        ({}, {"kind": "arithmetic"}, {}),
        ({"kind": "rollout", "setting": {"rollouts": 8}, "policy": "m"}, {"kind": "rollout", "rollouts": 8}, {"policy": "m"}),
        (
            {"kind": "critic", "judge": "gpt", "spec": {"url": "http://x/v1", "prm": None}},
            {"kind": "critic", "model": "judge"},
            {"judge": "gpt"},
        ),
        (
            {"kind": "prm", "judge": "p", "spec": {"prm": "skywork"}, "setting": {"threshold": 0.3, "rollouts": None}},
            {"kind": "prm", "model": "judge", "threshold": 0.3},
            {"judge": "p"},
        ),
    ],
)
def test_options_make_a_recipe(options: dict[str, Any], reward: dict[str, Any], models: dict[str, str]) -> None:
    made = recipe_of(**{**NOTHING, "part": PART, **options})
    recipe = Recipe.model_validate(made)
    assert made["stages"]["reward"]["reward"] == reward
    assert {name: spec.model for name, spec in recipe.models.items()} == models
    assert recipe.problems["labelled"].stored_as == "arithmetic-labelled.seed7.0-100"
    assert set(recipe.stages["reward"].roles()) <= {"reward", "policy"}


def test_a_stored_set_is_taken_whole_unless_told_otherwise() -> None:
    source = Recipe.model_validate(recipe_of(**{**NOTHING, "problems": "prm800k", "part": PART})).problems["labelled"]
    assert (source.set, source.count, source.generator) == ("prm800k", None, None)
    some = recipe_of(**{**NOTHING, "problems": "prm800k", "part": {**PART, "count": 5, "skip": 2}})["problems"]["labelled"]
    assert (some["count"], some["skip"]) == (5, 2)


def report(**changes: Any) -> dict[str, Any]:
    pairs = [(True, True)] * 3 + [(True, False)] + [(False, False)] * 4
    steps = measures.confusion(pairs).model_dump(mode="json")
    empty = measures.confusion([]).model_dump(mode="json")
    figures = {"first_error_accuracy": 0.75, "correct_accuracy": None, "processbench_f1": None}
    counts = {"solution_count": 4, "unlabelled": 0, "missing": 0, "unknown": 2, "format_errors": 0}
    tokens = {"prompt_tokens": 1000, "completion_tokens": 200, "reward_tokens": 34}
    about = {"benchmark": "sums", "reward": "critic", "models": {"reward": "gpt"}, "left_out": {"steps after an error": 9}}
    return {**about, **figures, **counts, **tokens, "steps": steps, "solutions": empty, **changes}


def drawn(rewards: dict[str, Any], width: int = 80) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(picture("run-1", {**EMPTY, "rewards": rewards}))
    return console.export_text()


def test_the_figures_fit_a_terminal_and_what_is_not_there_is_a_dash() -> None:
    other = report(reward="weighted (arithmetic + critic)", format_errors=5, missing=3, unlabelled=2)
    text = drawn({"one": report(), "two": report(), "three": other})
    assert "100.0%" in text and "75.0%" in text and "85.7%" in text and "25.0%" in text and "–" in text
    assert "1,234" in text and "…" not in text
    for words in ("one: 4 of 8 steps wrong: 3 found, 1 missed, 0 right ones accused", "three: 3 problems are missing", "5"):
        assert words in " ".join(text.split())
    assert "one: in no figure: 9 steps after an error" in text


def test_the_command_posts_waits_and_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    finished = run("done", reward=stage("done", 2, 2, kind="eval_reward"))
    answers: dict[str, Any] = {
        "POST /v1/runs": [(201, {"id": "tiny-1"})],
        "GET /v1/runs/tiny-1": [(200, finished)],
        "GET /v1/runs/tiny-1/report": [(200, {**EMPTY, "rewards": {"reward": report()}})],
    }
    with fake_gateway(answers) as gateway:
        monkeypatch.setenv("LONGTHOUGHT_URL", gateway.url)
        monkeypatch.setenv("LONGTHOUGHT_API_KEY", "k")
        words = ("eval-reward", "--reward", "critic", "--model", "gpt", "--url", "http://x/v1", "--count", "4", "--watch")
        ran = subprocess.run(longthought(*words), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "rewards on labelled steps" in ran.stdout and "75.0%" in ran.stdout
    posted = json.loads(next(body for line, _, body in gateway.seen if line == "POST /v1/runs"))
    assert posted["models"] == {"judge": {"model": "gpt", "url": "http://x/v1"}} and posted["problems"]["labelled"]["count"] == 4


def test_a_curation_shows_what_fell_to_which_rule() -> None:
    fallen = {"problem_id": "p7", "question": "Prove it.", "rule": "proof", "reason": 'it asks for a proof: "Prove"'}
    curation = {"source": "gsm8k", "total": 1000, "kept": 990, "dropped": {"proof": 10}, "examples": {"proof": [fallen]}}
    console = Console(width=120)
    with console.capture() as captured:
        console.print(picture("run-1", {**EMPTY, "curations": {"kept": {**curation, "benchmarks": {"m": 30}}}}))
    drawn = " ".join(captured.get().split())
    for part in ("kept: 990 of 1,000 problems of gsm8k kept", "looked for in m (30)", "proof 10 1.0% p7: it asks for a proof"):
        assert part in drawn, drawn


def test_costs_are_shown_by_stage_with_the_price_of_an_accepted_sample() -> None:
    one = {"samples": 1200, "accepted": 360, "cost": 1.8, "cost_per_item": 0.006, "cost_per_accepted": 0.005}
    local = {**one, "cost": 0.0, "cost_per_item": None, "cost_per_accepted": None, "failed": {"the answer is lost": 7}}
    console = Console(width=120)
    with console.capture() as captured:
        console.print(picture("run-1", {**EMPTY, "costs": {"taught": one, "mine": local}}))
    drawn = " ".join(captured.get().split())
    for part in (
        "taught 1,200 360 30.0% 1.8000 0.0060 0.0050",
        "mine 1,200 360 30.0% 0.0000 – –",
        "mine: 7 times the answer is lost",
    ):
        assert part in drawn, drawn
