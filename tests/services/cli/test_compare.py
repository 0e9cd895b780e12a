"""`longthought compare`: pairs of models, of one run or two, and what is refused."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.cli.main import app
from tests.services.cli.fake_gateway import fake_gateway
from tests.services.cli.test_reward import EMPTY

CONDITIONS = {"temperature": 0.8, "samples": 2, "problems": "held"}
OTHER = {**CONDITIONS, "temperature": 0.2}


def sample(model: str, problem: int, draw: int, right: bool, stage: str = "measure", error: str | None = None) -> dict[str, Any]:
    body = {"model": model, "problem_id": f"p{problem}", "draw": draw, "verified": right, "grading_error": error}
    return {"stage": stage, "kind": "sample", "key": f"{model}-{problem}-{draw}", "body": body}


RECORDS = [
    *(sample("journey", n, 1 - draw, n < 30) for n in range(40) for draw in range(2)),
    *(sample("shortcut", n, draw, n < 10 and draw == 0) for n in range(40) for draw in range(2)),
    sample("journey", 0, 2, False, error="it hung"),
]


def longthought(*arguments: str, models: dict[str, Any] | None = None, records: list[dict[str, Any]] = RECORDS) -> Result:
    figures = models or {name: {"conditions": CONDITIONS} for name in ("journey", "shortcut")}
    report = {**EMPTY, "models": figures, "benchmarks": {"measure": {}, "later": {}}}
    answers: Any = {"GET /v1/runs/r/report": [(200, report)], "GET /v1/runs/r/records": [(200, {"records": records, "next": None})]}
    with fake_gateway(answers) as gateway:
        env = {"LONGTHOUGHT_URL": gateway.url, "LONGTHOUGHT_API_KEY": "k", "COLUMNS": "160"}
        return CliRunner().invoke(app, ["compare", *arguments], env=env)


def test_two_models_of_a_run() -> None:
    result = longthought("r:shortcut", "r:journey", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["models"], found["problems"]) == (["r:shortcut", "r:journey"], 40)
    assert found["difference"] == pytest.approx(0.75 - 0.125) and found["low"] > 0.4 and found["differing_conditions"] == []
    assert (found["only_first"], found["only_second"]) == (0, 20)
    drawn = longthought("r:shortcut", "r:journey").stdout
    assert "+62.5 points" in drawn and "McNemar p = 0.000" in drawn and "Not comparable" not in drawn
    assert "r:journey: 1 samples could not be graded" in drawn and "r:shortcut: " not in drawn


def test_problems_that_only_one_was_measured_on_are_counted() -> None:
    more = [*RECORDS, sample("journey", 50, 0, True), sample("journey", 51, 0, True)]
    assert (
        "r:journey: 2 of its problems the other has no graded sample of"
        in longthought("r:shortcut", "r:journey", records=more).stdout
    )
    found = json.loads(longthought("r:shortcut", "r:journey", "--json", records=more).stdout)
    assert (found["problems"], found["not_compared"], found["ungraded"]) == (40, [0, 2], [0, 1])


def test_models_measured_under_other_conditions_are_marked() -> None:
    models = {"journey": {"conditions": CONDITIONS}, "shortcut": {"conditions": OTHER}}
    assert (
        "Not comparable: they differ in temperature (0.2 and 0.8)" in longthought("r:shortcut", "r:journey", models=models).stdout
    )


@pytest.mark.parametrize(
    ("told", "differing"),
    [
        ({"budget": None, "waits": 0}, []),
        ({"budget": 64, "answer_tokens": 9}, ["answer_tokens", "budget"]),
        ({"reward": "org/prm (min)"}, []),  # which weighs votes, and changes no sample
    ],
)
@pytest.mark.parametrize("names", [("r:shortcut", "r:journey"), ("r:journey", "r:shortcut")])
def test_an_older_report_without_a_condition_had_no_choice(
    names: tuple[str, str], told: dict[str, Any], differing: list[str]
) -> None:
    models = {"journey": {"conditions": CONDITIONS}, "shortcut": {"conditions": {**CONDITIONS, **told}}}
    assert json.loads(longthought(*names, "--json", models=models).stdout)["differing_conditions"] == differing


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("r", "r:journey"), "r: which of its models? r:journey, r:shortcut"),
        (("r:policy", "r:journey"), "r: measured no model `policy` (it measured: journey, shortcut)"),
        (("r:shortcut", "r:journey", "--stage", "mesure"), "no report of a stage `mesure` (there is of: later, measure)"),
        (("r:shortcut@later", "r:journey", "--stage", "measure"), "`shortcut@later` and --stage measure name two stages"),
    ],
)
def test_what_is_not_clear_is_refused(names: tuple[str, ...], words: str) -> None:
    result = longthought(*names)
    assert result.exit_code == 2 and words in result.stderr


def test_a_model_of_several_stages_needs_one_named() -> None:
    twice = [*RECORDS, sample("journey", 1, 0, True, stage="later")]
    result = longthought("r:shortcut", "r:journey", records=twice)
    assert result.exit_code == 2 and "name one with --stage (later, measure)" in result.stderr


def asked(records: list[dict[str, Any]], count: int = 40, **parts: Any) -> list[dict[str, Any]]:
    """These samples, each with what its problem asks; `parts`: what the first `count` problems ask instead."""
    held = {"question": "1 + 1?", "choices": [], "answer": "2"}
    told = []
    for record in records:
        mine = parts if int(record["body"]["problem_id"][1:]) < count else {}
        told.append({**record, "body": {**record["body"], **{key: mine.get(key, held[key]) for key in held | parts}}})
    return told


def side(model: str) -> list[dict[str, Any]]:
    return [record for record in RECORDS if record["body"]["model"] == model]


@pytest.mark.parametrize(
    ("parts", "count", "changed"),
    [
        ({}, 40, 0),
        ({"question": "1 + 2?"}, 12, 12),
        ({"answer": "3"}, 1, 1),
        ({"choices": ["2", "3"]}, 12, 12),
    ],
)
def test_problems_that_are_not_the_same_any_more_are_left_out(parts: dict[str, Any], count: int, changed: int) -> None:
    """As where a set was deleted, and added anew under its name, between two runs."""
    records = [*asked(side("journey")), *asked(side("shortcut"), count, **parts), sample("shortcut", 50, 0, True)]
    found = json.loads(longthought("r:shortcut", "r:journey", "--json", records=records).stdout)
    assert (found["problems"], found["changed_problems"], found["not_compared"]) == (40 - changed, changed, [1, 0])
    assert found["only_second"] == sum(n >= 10 for n in range(changed, 30))
    shown = longthought("r:shortcut", "r:journey", records=records).stdout
    words = f"{changed} problems ask something else in the other run, or have another answer there, and are not compared"
    assert (words in shown) == (changed > 0)


def test_what_older_samples_do_not_tell_is_not_held_against_them() -> None:
    old = [{**one, "body": {key: part for key, part in one["body"].items() if key != "choices"}} for one in asked(side("journey"))]
    for records in ([*side("journey"), *asked(side("shortcut"))], [*old, *asked(side("shortcut"), choices=["2", "3"])]):
        found = json.loads(longthought("r:shortcut", "r:journey", "--json", records=records).stdout)
        assert (found["problems"], found["changed_problems"]) == (40, 0)


def test_nothing_is_compared_where_no_problem_is_the_same() -> None:
    records = [*asked(side("journey")), *asked(side("shortcut"), question="1 + 2?")]
    result = longthought("r:shortcut", "r:journey", records=records)
    assert result.exit_code == 2 and "(40 of the same ids ask something else, or have another answer)" in result.stderr


def test_a_model_that_the_stage_did_not_measure_is_said() -> None:
    result = longthought("r:shortcut", "r:journey", "--stage", "later", records=[])
    assert result.exit_code == 2 and "r: there is no sample of `shortcut` in `later`: it was not measured there" in result.stderr


def test_no_problem_in_common_is_said() -> None:
    result = longthought("r:shortcut", "r:journey", records=[sample("journey", 1, 0, True), sample("shortcut", 2, 0, True)])
    assert result.exit_code == 2 and "no problem in common" in result.stderr
