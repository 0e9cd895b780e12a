"""What the report shows of groups, and what its files are called."""

from typing import Any

import pytest
from rich.console import Console

from services.cli.results import file_name, picture

EMPTY: dict[str, Any] = {
    "models": {}, "benchmarks": {}, "rewards": {}, "costs": {}, "curations": {}, "datasets": {}, "plots": [],
}  # fmt: skip
GEOMETRY = {"n": 3, "samples": 6, "pass_at_1": 0.5, "stderr": 0.125, "avg_tokens": 99.0}
ALGEBRA = {**GEOMETRY, "n": 2, "pass_at_1": 0.75}


def score(problems: str = "math500", **groups: Any) -> dict[str, Any]:
    conditions = {"samples": 2, "problems": problems}
    figures = {"pass_at_1": 0.5, "stderr": 0.1, "pass_at_k": 0.5, "maj_at_k": 0.5, "avg_tokens": 80.0, "n": 5, "ungraded": 0}
    return {**figures, "conditions": conditions, **groups}


def drawn(models: dict[str, Any]) -> list[str]:
    console = Console(width=120, no_color=True)
    with console.capture() as captured:
        console.print(picture("run-1", {**EMPTY, "models": models}))
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def test_a_row_a_group_and_a_column_a_model() -> None:
    both = {"by_subject": {"Geometry": GEOMETRY, "algebra": ALGEBRA}, "by_level": {"10": GEOMETRY, "9": ALGEBRA}}
    lines = drawn({"base": score(**both), "tuned": score(by_subject={"algebra": ALGEBRA}, by_level={"9": ALGEBRA})})
    at = lines.index("math500: pass@1 by subject")
    assert lines[at + 2] == "base tuned n"
    assert lines[at + 4 : at + 6] == ["algebra 75.0% ± 12.5 75.0% ± 12.5 2", "Geometry 50.0% ± 12.5 – 3"]
    at = lines.index("math500: pass@1 by level")
    assert [line.split(" ± ")[0] for line in lines[at + 4 : at + 6]] == ["level 9 75.0%", "level 10 50.0%"]


def test_benchmarks_are_told_apart() -> None:
    groups = {"by_subject": {"Geometry": GEOMETRY, "algebra": ALGEBRA}}
    lines = drawn({"base@a": score("math500", **groups), "base@b": score("aime2024", **groups)})
    assert {"math500: pass@1 by subject", "aime2024: pass@1 by subject"} <= set(lines)


@pytest.mark.parametrize("groups", [{}, {"by_subject": {}, "by_level": {}}, {"by_subject": {"algebra": ALGEBRA}}])
def test_one_group_or_none_tells_nothing(groups: dict[str, Any]) -> None:
    assert not any("pass@1 by" in line for line in drawn({"base": score(**groups)}))


def test_a_weighted_majority_has_its_column_where_there_is_one() -> None:
    weighed = {"conditions": {"samples": 2, "problems": "math500", "reward": "org/prm (min)"}, "weighted_maj_at_k": 0.625}
    lines = drawn({"base": {**score(), **weighed}, "lost": {**score(), **weighed, "weighted_maj_at_k": None}, "old": score()})
    assert any(line.startswith("model pass@1 pass@2 Maj@2 Maj@2 avg tokens") for line in lines)
    assert [line.split()[5:8] for line in lines if line.startswith(("base", "lost", "old"))] == [
        ["50.0%", "62.5%", "80"], ["50.0%", "–", "80"], ["50.0%", "–", "80"],
    ]  # fmt: skip
    assert not any("weighted" in line for line in drawn({"base": score()}))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ({"stage": "measure", "kind": "plot", "uri": "s3://x/accuracy-against-tokens.png"}, "measure.png"),
        ({"stage": "measure", "uri": "s3://x/accuracy-against-tokens.png"}, "measure.png"),
        ({"stage": "measure", "kind": "curves_plot", "uri": "s3://x/budget-curves.png"}, "measure-budget-curves.png"),
        ({"stage": "again", "kind": "table_latex", "uri": "file:///x/table.tex"}, "again-table.tex"),
    ],
)
def test_exported_files_of_reports_have_names_of_their_own(file: dict[str, Any], name: str) -> None:
    assert file_name(file) == name
