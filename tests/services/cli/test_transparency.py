"""The Technical Transparency Index: points, evidence, answers, and nothing by default."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from services.cli.main import app
from services.cli.transparency import CHECKS, BadAnswers, Facts, judge, template
from shared.contracts.recipe import Recipe
from tests.services.cli.fake_gateway import fake_gateway
from tests.services.cli.test_reward import EMPTY

RECIPE = Recipe.model_validate(
    {
        "name": "tiny",
        "models": {"base": {"model": "m"}},
        "problems": {"few": {"generator": "arithmetic", "count": 3}},
        "stages": {
            "search": {"kind": "search", "problems": "few", "policy": "base"},
            "set": {"kind": "compile", "trees": "search"},
            "journey": {"kind": "train", "base": "base", "data": "set", "config": "journey"},
            "shortcut": {"kind": "train", "base": "base", "data": "set", "config": "shortcut"},
            "measure": {"kind": "evaluate", "models": ["journey", "shortcut"], "problems": "few"},
        },
    }
).model_dump(mode="json")
CONDITIONS = {"temperature": 0.8, "top_p": 1.0, "max_tokens": 512, "samples": 2, "engine": "vllm 0.32.0 (cpu)"}
REPORT: dict[str, Any] = {
    **EMPTY,
    "models": {name: {"conditions": CONDITIONS} for name in ("journey", "shortcut")},
    "benchmarks": {"measure": {"comparable": True}},
    "datasets": {"set": {"counts": {"journey": 3}, "statistics": {"journey": {"texts": 3.0}}}},
    "checkpoints": {"journey": {"seconds": 60.0}},
}
USAGE = {"completion_tokens": 1000}


def facts(done: bool = True, report: dict[str, Any] = REPORT) -> Facts:
    stages = {name: {"state": "done" if done else "open"} for name in RECIPE["stages"]}
    return Facts(RECIPE, report, {"stages": stages, "usage": USAGE})


def met(found: Facts, answers: dict[str, Any] | None = None) -> dict[str, str]:
    return {finding.check.id: finding.state for finding in judge(found, answers or {}) if finding.state != "missing"}


def test_the_points_are_the_reports() -> None:
    points: Counter[str] = Counter()
    for check in CHECKS:
        points[check.group] += check.points
    assert points == {"Data": 14, "Methodology": 33, "Evaluation": 24, "Open source": 29}
    assert len(CHECKS) == len({check.id for check in CHECKS}) == 25


def test_a_run_proves_what_its_records_hold() -> None:
    assert set(met(facts())) == {
        "data_sources", "data_format", "data_synthesis", "search", "long_thoughts", "pipeline", "compute", "hyper_parameters",
        "ablations", "dimension", "metrics", "same_metrics", "conditions",
    }  # fmt: skip


def test_nothing_is_credited_by_default() -> None:
    empty = Facts(
        {**RECIPE, "problems": {"few": {"set": "mine"}}}, {**EMPTY, "benchmarks": {}, "checkpoints": {}}, facts(done=False).status
    )
    assert met(empty) == {}


def test_an_unfair_comparison_is_no_ablation() -> None:
    report = {**REPORT, "benchmarks": {"measure": {"comparable": False}}}
    assert not {"ablations", "same_metrics"} & set(met(facts(report=report)))


def test_people_answer_the_rest_and_say_what_is_not_used() -> None:
    answers = {
        "reinforcement": {"not_used": "SFT alone"},
        "open_weights": "https://example.org/w",
        "benchmarks": "They are the reports' own.",
    }
    found = met(facts(), answers)
    assert (found["reinforcement"], found["open_weights"], found["benchmarks"]) == ("not used", "met", "met")


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"weights": "x"}, "weights: there is no such check"),
        ({"open_weights": "soon"}, "open_weights: an address was expected"),
        ({"benchmarks": "yes"}, "benchmarks: give a text of some words"),
        ({"benchmarks": {"not_used": "none"}}, "this is no technique"),
        ({"search": {"not_used": " "}}, "give a text, or `not_used: why`"),
        ({"search": {"used": "x"}}, "give a text, or `not_used: why`"),
        ({"metrics": 7}, "give a text of some words"),
    ],
)
def test_answers_that_say_nothing_are_refused(answers: dict[str, Any], words: str) -> None:
    with pytest.raises(BadAnswers, match=words):
        judge(facts(), answers)


def test_the_template_asks_what_is_open_and_can_be_read_again() -> None:
    findings = judge(facts(), {})
    asked = yaml.safe_load(template(findings))
    assert set(asked) == {finding.check.id for finding in findings if finding.state == "missing"}
    assert judge(facts(), asked) == findings


def longthought(*arguments: str) -> Result:
    status = {"id": "r", "state": "done", "stages": facts().status["stages"], "usage": USAGE}
    answers: Any = {
        "GET /v1/runs/r": [(200, status)],
        "GET /v1/runs/r/recipe": [(200, RECIPE)],
        "GET /v1/runs/r/report": [(200, REPORT)],
    }
    with fake_gateway(answers) as gateway:
        env = {"LONGTHOUGHT_URL": gateway.url, "LONGTHOUGHT_API_KEY": "k", "COLUMNS": "140"}
        return CliRunner().invoke(app, ["transparency", "r", *arguments], env=env)


def test_the_command_scores_a_run(tmp_path: Path) -> None:
    found = json.loads(longthought("--json").stdout)
    assert found["score"] == sum(row["points"] for row in found["checks"]) == 49
    drawn = longthought()
    assert drawn.exit_code == 0 and "Score: 49 of 100" in drawn.stdout and "Methodology  23/33" in drawn.stdout
    answers = tmp_path / "answers.yaml"
    answers.write_text("paper: https://example.org/paper\n")
    assert "**53/100**" in longthought("--answers", str(answers), "--markdown").stdout
    answers.write_text("paper: soon\n")
    refused = longthought("--answers", str(answers))
    assert refused.exit_code == 2 and "answers.yaml: paper: an address was expected" in refused.stderr
