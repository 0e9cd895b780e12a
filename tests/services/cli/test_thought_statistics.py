"""`longthought thoughts`: figures of files and of runs, one set or two compared."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.cli.main import app
from services.cli.thought_statistics import text_of
from tests.services.cli.fake_gateway import fake_gateway


def longthought(*arguments: str, records: dict[str, list[dict[str, Any]]] | None = None) -> Result:
    answers: list[Any] = [(200, {"records": rows, "next": None}) for rows in (records or {}).values()]
    with fake_gateway({"GET /v1/runs/r": [(200, {"id": "r"})], "GET /v1/runs/r/records": answers}) as gateway:
        env = {"LONGTHOUGHT_URL": gateway.url, "LONGTHOUGHT_API_KEY": "k", "COLUMNS": "120"}
        return CliRunner().invoke(app, ["thoughts", *arguments], env=env)


def lines(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}, "a"),
        ({"completion": "a"}, "a"),
        ({"text": "a", "reasoning": "Hmm."}, "Hmm.\n\na"),
        ({"text": "a", "reasoning": None}, "a"),
        ({"spans": [{"text": "a\n", "role": "step"}, {"text": "b", "role": "conclusion"}]}, "a\nb"),
    ],
)
def test_the_text_of_a_row(row: dict[str, Any], text: str) -> None:
    assert text_of(row) == text


def test_two_files_are_compared(tmp_path: Path) -> None:
    long = lines(tmp_path / "long.jsonl", {"text": "Wait, 5 * 6 = 30.\nSo 30."}, {"text": "Wait. Wait: 7."})
    short = lines(tmp_path / "short.jsonl", {"completion": "30"})
    result = longthought(long, short, "--ngram", "7", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found[long]["texts"], found[long]["ngram wait"], found[long]["ngram 7"]) == (2, 1.5, 0.5)
    assert (found[short]["tokens"], found[short]["ngram wait"]) == (1, 0)
    drawn = longthought(long, short)
    assert drawn.exit_code == 0
    (row,) = [line.split() for line in drawn.stdout.splitlines() if "ngram wait" in line]
    assert row == ["ngram", "wait", "1.50", "0.00", "-1.50"]


def test_a_run_is_searched_for_its_thoughts_first() -> None:
    spans = [{"text": "Wait.\n", "role": "backtrack", "node_id": 0}, {"text": "30", "role": "conclusion", "node_id": 1}]
    rows = [{"stage": "set", "kind": "shortcut", "key": "p#0", "body": {"spans": spans}}]
    result = longthought("r", "--json", records={"thought": [], "shortcut": rows})
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["r"]["share with one wrong turn"] == 1.0


@pytest.mark.parametrize(
    ("rows", "words"),
    [(['{"text": "a"}', "nonsense"], ":2: no text found"), (['{"answer": 1}'], ":1: no text found"), ([], "holds no text")],
)
def test_a_file_without_texts_is_refused_by_its_line(tmp_path: Path, rows: list[str], words: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(rows))
    result = longthought(str(path))
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_kind_without_texts_is_refused() -> None:
    result = longthought("r:search:tree")
    assert result.exit_code == 2
    assert "no records of kind `tree` have a text" in result.stderr
