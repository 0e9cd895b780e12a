"""People's scores at the command line."""

from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from services.cli import connect
from services.cli.main import app
from services.cli.scores import judged_table, people_table
from tests.services.cli.fake_gateway import fake_gateway


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "PATIENCE_SECONDS", 0.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    path.write_text("model,problem_id,scorer,score\nbase,a,Ann,90\n")
    return path


def longthought(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"LONGTHOUGHT_URL": url, "LONGTHOUGHT_API_KEY": "lt-test"})


def test_a_file_is_sent_as_it_is(file: Path) -> None:
    with fake_gateway({"POST /v1/runs/tiny-1/scores": [(201, {"count": 1, "replaced": 1})]}) as gateway:
        result = longthought(gateway.url, "scores", "tiny-1", str(file), "--stage", "measure")
    assert (result.exit_code, result.stderr) == (0, "tiny-1: 1 scores (1 in place of earlier ones)\n")
    [(line, _, body)] = gateway.seen
    assert (line, body) == ("POST /v1/runs/tiny-1/scores?stage=measure", file.read_bytes())


def test_bad_lines_are_told_with_the_files_name(file: Path) -> None:
    refusal = {"title": "The scores are not valid.", "errors": [{"line": 2, "message": "no model `best` was measured"}]}
    with fake_gateway({"POST /v1/runs/tiny-1/scores": [(422, refusal)]}) as gateway:
        result = longthought(gateway.url, "scores", "tiny-1", str(file))
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [f"{file}:2: no model `best` was measured", "Nothing was stored."]


@pytest.mark.parametrize(
    ("arguments", "words"), [(["missing.csv"], "missing.csv: there is no such file"), ([], "Missing argument")]
)
def test_nothing_is_sent_without_a_file(arguments: list[str], words: str) -> None:
    with fake_gateway({}) as gateway:
        result = longthought(gateway.url, "scores", "tiny-1", *arguments)
    assert (result.exit_code, gateway.seen) == (2, [])
    assert words in result.stderr


def test_people_stand_beside_the_machine() -> None:
    row = {"model": "base", "scorer": "Ann", "n": 1200, "right": 0.4, "machine_right": 0.75, "equal": 0.9}
    scored = {**row, "mean": 53.5, "machine_mean": 63.25, "correlation": 0.8}
    without = {**row, "scorer": "all", "mean": None, "machine_mean": None, "correlation": None, "equal": None}
    console = Console(width=100, record=True)
    console.print(people_table("measure", [scored, without]))
    drawn = console.export_text()
    [ann, everybody] = [line.split() for line in drawn.splitlines() if "1,200" in line]
    assert ann == ["base", "Ann", "1,200", "40.0%", "75.0%", "53.5", "63.2", "+0.80", "90.0%"]
    assert everybody == ["base", "all", "1,200", "40.0%", "75.0%", "–", "–", "–", "–"]
    console.print(people_table("measure", [without]))
    assert "corr." in drawn and "corr." not in console.export_text()


def test_what_judges_tell_beyond_right_and_wrong() -> None:
    plain = {"pass_at_1": 0.5}
    planned = {"score_mean": 58.75, "score_stderr": 2.125, "not_attempted": None, "ungraded": 1}
    facts = {"score_mean": None, "score_stderr": None, "not_attempted": 0.34, "ungraded": 0}
    assert judged_table({"base": plain}) == []
    console = Console(width=80, record=True)
    console.print(*judged_table({"base": plain, "base@plan": planned, "base@facts": facts}))
    rows = [line.split("  ") for line in console.export_text().splitlines() if "base@" in line]
    assert [[cell.strip() for cell in row if cell.strip()] for row in rows] == [
        ["base@plan", "58.8 ± 2.1", "–", "1"],
        ["base@facts", "–", "34.0%", "0"],
    ]
