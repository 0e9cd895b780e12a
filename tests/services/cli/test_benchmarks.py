"""Benchmarks' rows on their way to the gateway: mapped, or refused line by line with nothing sent."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli import connect
from services.cli.main import app
from shared.contracts.problem import Problem
from tests.services.cli.fake_gateway import fake_gateway

ADDED = {"POST /v1/problem-sets/mine": [(201, {"name": "mine", "count": 2, "created": True})]}
OWN = """\
name: own
title: My own rows
mapping: {question: q, choices: options, answer: right}
grading: {kind: letter}
"""
GOOD = {"q": "Which?", "options": ["iron", "zinc"], "right": "B"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "PATIENCE_SECONDS", 0.0)


def longthought(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"LONGTHOUGHT_URL": url, "LONGTHOUGHT_API_KEY": "lt-test"})


def rows(path: Path, *found: object) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return str(path)


def test_rows_of_a_benchmark_are_sent_as_problems(tmp_path: Path) -> None:
    file = rows(tmp_path / "a.jsonl", {"prompt": "How?", "dimension": "Safety"}, {"prompt": "Why?"}, {"prompt": "How?"})
    with fake_gateway(ADDED) as gateway:
        result = longthought(gateway.url, "problems", "add", "mine", file, "--benchmark", "flames")
    assert result.exit_code == 0, result.stderr
    [(_, _, body)] = gateway.seen
    problems = [Problem.model_validate_json(line) for line in body.splitlines()]
    assert [(one.question, one.subject, one.grading.rubric) for one in problems] == [
        ("How?", "Safety", "safety"),
        ("Why?", None, "safety"),
    ]
    assert "mine: 2 problems of Flames-1k-Chinese" in result.stderr
    assert "1 rows repeat an earlier one and were left out (the first: line 3)" in result.stderr


def test_a_file_of_ones_own_maps_rows_too(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    file = rows(tmp_path / "a.jsonl", GOOD, {**GOOD, "q": "Who?"})
    with fake_gateway(ADDED) as gateway:
        result = longthought(gateway.url, "problems", "add", "mine", file, "--mapping", str(tmp_path / "own.yaml"))
    assert result.exit_code == 0, result.stderr
    assert Problem.model_validate_json(gateway.seen[0][2].splitlines()[1]).choices == ("iron", "zinc")


def test_every_bad_row_is_told_and_nothing_is_sent(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    file = rows(tmp_path / "a.jsonl", GOOD, {**GOOD, "right": "C"}, {**GOOD, "right": ""}, 3)
    with fake_gateway(ADDED) as gateway:
        result = longthought(gateway.url, "problems", "add", "mine", file, "--mapping", str(tmp_path / "own.yaml"))
    assert (result.exit_code, gateway.seen) == (2, [])
    assert result.stderr.splitlines() == [
        f"{file}:2: `right` is 'C': no choice (A to B)",
        f"{file}:3: no answer: `right` is missing or empty",
        f"{file}:4: a JSON object was expected, not int",
        "Nothing was stored.",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Give a FILE of problems, or --benchmark NAME"),
        (["--benchmark", "gsm9k"], "no benchmark `gsm9k` (known: aime-2024,"),
        (["--benchmark", "flames"], "not known to be on a hub; get its rows from https://github.com/AIFlames/Flames"),
        (["--benchmark", "gsm8k", "--mapping", "x.yaml"], "give one of the two"),
        (["--mapping", "missing.yaml"], "missing.yaml: cannot be read"),
        (["missing.jsonl", "--benchmark", "gsm8k"], "missing.jsonl: there is no such file"),
    ],
)
def test_what_cannot_be_added_says_what_to_do(arguments: list[str], words: str) -> None:
    with fake_gateway(ADDED) as gateway:
        result = longthought(gateway.url, "problems", "add", "mine", *arguments)
    assert (result.exit_code, gateway.seen) == (2, [])
    assert words in result.stderr


def test_a_hub_that_is_away_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def away(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach the hub\nand more")

    monkeypatch.setattr(datasets, "load_dataset", away)
    result = longthought("http://127.0.0.1:9", "problems", "add", "mine", "--benchmark", "gsm8k")
    assert result.exit_code == 2
    assert "openai/gsm8k, main, test did not come from the hub: ConnectionError: Couldn't reach the hub\n" in result.stderr
    assert "give them as a file" in result.stderr


def test_rows_of_the_hub_are_numbered_from_1(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: list[object] = []

    def found(*names: object, **options: object) -> list[dict[str, str]]:
        asked.append((names, options))
        return [{"question": "1+1?", "answer": "#### 2"}, {"question": "1+2?", "answer": "much"}]

    monkeypatch.setattr(datasets, "load_dataset", found)
    result = longthought("http://127.0.0.1:9", "problems", "add", "mine", "--benchmark", "gsm8k")
    assert asked == [(("openai/gsm8k", "main"), {"split": "test", "revision": None})]
    assert (result.exit_code, result.stderr.splitlines()[0][:32]) == (2, "gsm8k:2: no final answer: `answe")


def test_the_list_of_benchmarks() -> None:
    shown = json.loads(longthought("http://127.0.0.1:9", "problems", "benchmarks", "--json").stdout)
    assert {one["name"]: one["grading"]["kind"] for one in shown}["medqa"] == "letter"
    table = longthought("http://127.0.0.1:9", "problems", "benchmarks").stdout
    assert all(one["name"] in table for one in shown)
