"""`longthought run RECIPE --dry-run`: checked, priced, nothing stored."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner, Result

from services.cli.dry_run import Wishes, locally, quote
from services.cli.main import app
from services.cli.price_table import dollars, picture, short
from services.cli.recipe_file import RecipeFile
from shared.contracts.recipe import Recipe
from shared.pricing.speed import DEVICES
from tests.services.cli.fake_gateway import fake_gateway

RECIPE = """\
name: tiny
spend_cap: 0.001
models:
  base: {model: smollm2-135m-instruct}
  teacher: {model: big, url: "https://t.example/v1", price_per_million: [1, 4]}
  free: {model: big, url: "https://t.example/v1"}
problems:
  heldout: {generator: arithmetic, count: 10}
  stored: {set: gsm8k, count: 64}
stages:
  thoughts: {kind: distill, problems: stored, teacher: teacher}
  more: {kind: distill, problems: stored, teacher: free}
  student: {kind: train, base: base, data: thoughts}
  measure:
    kind: evaluate
    models: [base, student]
    problems: heldout
"""
AWAY = "http://127.0.0.1:9"
"""Nobody listens at the discard port."""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


def dry_run(url: str, recipe: Path, *arguments: str) -> Result:
    settings = {"LONGTHOUGHT_URL": url, "LONGTHOUGHT_API_KEY": "lt-test"}
    return CliRunner().invoke(app, ["run", str(recipe), "--dry-run", *arguments], env=settings)


def body(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture(autouse=True)
def processor(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """The prices here are of a processor that multiplies bf16, whatever these tests run on; a test may name another."""

    def is_one_for(dtype: str) -> None:
        monkeypatch.setattr("services.cli.dry_run.fast_dtype", lambda: dtype)

    is_one_for("bfloat16")
    return is_one_for


def test_without_a_gateway_the_recipe_is_checked_here(recipe: Path) -> None:
    found = body(dry_run(AWAY, recipe, "--json"))
    assert found["validated"].startswith(f"no gateway at {AWAY}: checked here")
    assert [stage["name"] for stage in found["stages"]] == ["thoughts", "more", "student", "measure"]
    assert found["problems"]["heldout"]["count"] == 10 and "stored" not in found["problems"]
    assert (found["device"], found["parameters"]) == ("cpu", {"base": {"parameters": 135e6, "known": "by its name"}})
    assert found["stages"][0]["items"] == {"low": 64, "expected": 64, "high": 64}
    assert found["unpriced"] == ["free"]
    assert {"question", "verified", "answer", "tokenizer"} <= set(found["assumptions"])


def test_with_a_gateway_it_is_checked_there_and_nothing_is_posted(recipe: Path) -> None:
    problem = {"count": 64, "read": 64, "question": 45.0, "solution": 120.0, "steps": 3.5, "labelled": None}
    answer = {"recipe": RecipeFile(recipe).body, "problems": {"stored": problem, "heldout": {**problem, "count": 10}}}
    with fake_gateway({"POST /v1/runs/check": [(200, answer)]}) as gateway:
        found = body(dry_run(gateway.url, recipe, "--json", "--set", "seed=9"))
    assert [seen[0] for seen in gateway.seen] == ["POST /v1/runs/check"]
    assert json.loads(gateway.seen[0][2])["seed"] == 9
    assert found["validated"].startswith("checked by the gateway")
    assert found["problems"]["stored"]["question"] == 45
    assert "question" not in found["assumptions"]


def test_what_the_gateway_refuses_names_file_and_line(recipe: Path) -> None:
    errors = [{"place": "problems.stored.set", "message": "there is no problem set `gsm8k`"}]
    with fake_gateway({"POST /v1/runs/check": [(422, {"title": "x", "detail": "y", "errors": errors})]}) as gateway:
        result = dry_run(gateway.url, recipe)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "recipe.yaml:9: problems.stored.set: there is no problem set `gsm8k`" in result.stderr


def test_a_key_that_is_refused_is_no_reason_to_check_here(recipe: Path) -> None:
    with fake_gateway({"POST /v1/runs/check": [(401, {"title": "x", "detail": "no such key"})]}) as gateway:
        result = dry_run(gateway.url, recipe)
    assert result.exit_code == 2
    assert "does not take the API key" in result.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["stages.measure.samples=0"], "--set: stages.measure.samples: must be at least 1 (got 0)"),
        (["stages.student.base=nobody"], "--set: stages.student.base: nothing is named `nobody`"),
        (
            ["problems.heldout.count=2000000"],
            "recipe.yaml:8: problems.heldout: `skip` and `count` together must be at most 1000000",
        ),
        (["stages=[]"], "--set: stages: must be a mapping"),
    ],
)
def test_a_recipe_that_posting_would_refuse_has_no_price(recipe: Path, changes: list[str], words: str) -> None:
    result = dry_run(AWAY, recipe, *(part for change in changes for part in ("--set", change)))
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr.replace("\n", " ")


def test_a_faulty_file_names_its_line_without_a_gateway(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("teacher: teacher}", "teacher: teecher}"))
    result = dry_run(AWAY, recipe)
    assert result.exit_code == 2
    assert "recipe.yaml:11: stages.thoughts.teacher: nothing is named `teecher`" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--device", "tpu"], "no device `tpu`"),
        (["--throughput", "engine=fast"], "engine=fast: tokens a second must be a number above 0"),
        (["--parameters", "bass=7b"], "bass: the recipe has no such model (it has: base)"),
        (["--parameters", "base"], "--parameters base: expected NAME=VALUE"),
        (["--assume", "verify=1"], "--assume verify: no such assumption"),
        (["--watch"], "--watch: a dry run starts nothing"),
    ],
)
def test_a_bad_option_is_named(recipe: Path, options: list[str], words: str) -> None:
    result = dry_run(AWAY, recipe, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr


@pytest.mark.parametrize("option", [["--json"], ["--gpu-hour", "2"], ["--assume", "verified=1"], ["--device", "cpu"]])
def test_options_of_a_price_go_with_a_dry_run(recipe: Path, option: list[str]) -> None:
    with fake_gateway({}) as gateway:
        result = CliRunner().invoke(app, ["run", str(recipe), *option], env={"LONGTHOUGHT_URL": gateway.url})
    assert (result.exit_code, gateway.seen) == (2, [])
    assert f"{option[0]}: goes with --dry-run" in result.stderr


@pytest.mark.parametrize("name", ["part1", "part2"])
def test_the_reports_recipes_say_what_the_command_prints(name: str) -> None:
    path = Path(__file__).parents[3] / "recipes" / f"{name}.yaml"
    lines = [line.split() for line in dry_run(AWAY, path, "--gpu-hour", "2.50").stdout.splitlines()]
    place = next(n for n, words in enumerate(lines) if words[:1] == ["total"])
    calls, prompt, output, trained, hours, dollars = lines[place][1:]
    *_, from_hours, from_dollars = lines[place + 1]
    counts = f"{calls} model calls, {prompt} prompt tokens, {output} output tokens, {trained} trained tokens"
    said = path.read_text()
    assert f"{counts}, {hours} GPU hours, {dollars} US dollars\n" in said
    assert f"from low to high: {from_hours} GPU hours, {from_dollars} US dollars\n" in said


def test_the_table(recipe: Path) -> None:
    """64 problems, 4 samples of a quarter of 2,048 tokens: 131,072 tokens at 4 dollars a million. A prompt: 80 + 23 + 30."""
    options = ["--assume", "answer=0.25", "--assume", "question=80", "--gpu-hour", "1", "--throughput", "train=1000@135m"]
    shown = dry_run(AWAY, recipe, *options).stdout
    row = next(line for line in shown.splitlines() if line.strip().startswith("thoughts"))
    assert row.split() == ["thoughts", "64", "64", "8.51k", "131k", "–", "–", "0.533"]
    for words in (
        "What tiny will take",
        "CPU",
        "student: 128 samples of 645 tokens, 1 epoch",
        "answer: 0.25: a teacher's answer",
        "base: 135m parameters, by its name",
        "train as given",
        "without a price, in no figure: free",
        "the spend_cap of 0.001 will, as expected, be reached",
        "an hour: 1.000 US dollars",
    ):
        assert words in shown


@pytest.mark.parametrize("width", [80, 107, 108, 200])
def test_nothing_is_cut_off_whatever_the_width(recipe: Path, width: int) -> None:
    file = RecipeFile(recipe)
    checked, measured, note = locally(file, str, "here")
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(picture(quote(checked, measured, note, Wishes(hour=3)), width))
    shown = console.export_text()
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width


@pytest.mark.parametrize(("dtype", "device"), [("bfloat16", "cpu"), ("float32", "cpu-fp32")])
def test_small_models_are_priced_on_this_machines_kind_of_processor(
    recipe: Path, processor: Callable[[str], None], dtype: str, device: str
) -> None:
    processor(dtype)
    checked, measured, note = locally(RecipeFile(recipe), str, "here")
    found = quote(checked, measured, note, Wishes())
    assert (found.device, found.speed) == (device, DEVICES[device])
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(picture(found, 120))
    shown = console.export_text()
    assert "CPU" in shown and "GPU" not in shown


def test_large_models_are_priced_on_a_gpu(recipe: Path) -> None:
    large = Recipe.model_validate(RecipeFile(recipe, ["models.base.model=Qwen2.5-72B"]).body)
    found = quote(large, {}, "here", Wishes())
    assert (found.device, found.sizes["base"]) == ("h100", (72e9, "by its name"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0001, "<0.001"),
        (0.25, "0.25"),
        (1, "1"),
        (12.34, "12.3"),
        (999.4, "999"),
        (999.9, "1k"),
        (1234, "1.23k"),
        (64e6, "64M"),
    ],
)
def test_short_numbers(value: float, text: str) -> None:
    assert short(value) == text


def test_dollars() -> None:
    assert [dollars(value) for value in (0, 0.0001, 0.5, 12.345, 1234.5)] == ["0", "<0.001", "0.500", "12.35", "1,234.50"]


RECIPES = Path(__file__).parents[3] / "recipes"
REPORTS = {
    "part1": ("--parameters", "base=7b"),
    "part2": ("--parameters", "base=7b"),
    "part2 at the report's size": ("--parameters", "base=72b,instruct=72b"),
}


@pytest.mark.parametrize("case", REPORTS)
def test_the_recipes_of_the_reports_say_what_the_command_prints(case: str) -> None:
    path = RECIPES / f"{case.partition(' ')[0]}.yaml"
    shown = dry_run(AWAY, path, "--gpu-hour", "2.50", *REPORTS[case])
    lines = shown.stdout.splitlines()
    place = next(place for place, line in enumerate(lines) if line.split()[:1] == ["total"])
    calls, prompt, output, trained, hours, money = lines[place].split()[1:]
    head = path.read_text().partition("\nname:")[0]
    if case.endswith("size"):
        assert f"{hours} GPU hours and {money} US dollars in all" in head
        return
    about = f"{calls} model calls, {prompt} prompt tokens, {output} output tokens, {trained} trained tokens, {hours} GPU hours"
    assert f"{about}, {money} US dollars" in head
    *_, hours, money = lines[place + 1].split()
    assert f"from low to high: {hours} GPU hours, {money} US dollars" in head


def test_part1_with_a_critic_for_a_judge() -> None:
    path = RECIPES / "part1.yaml"
    file = RecipeFile(path)
    reward = next(line for line in path.read_text().splitlines() if line.strip().startswith("# reward: {kind: critic"))
    file.body["stages"]["trees"]["reward"] = yaml.safe_load(reward.strip().removeprefix("# "))["reward"]
    file.body["models"]["critic"] = {"model": "o1-mini", "url": "https://critic.example/v1", "price_per_million": [3, 12]}
    checked, measured, note = locally(file, str, "here")
    found = quote(checked, measured, note, Wishes()).price
    [critic] = next(one for one in found.stages if one.name == "trees").asked[1:]
    # w (1 + K (R - 1)) = 3 (1 + 3 x 8) steps a tree, 1,000 trees, and what is asked again: 0.2 of 2 retries
    assert critic.calls.expected == pytest.approx(1000 * 75 * 1.4)
    assert critic.dollars.expected > 0
