"""Accuracy by subject and by level, drawn: a row a group, a column a model."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text


def groups_tables(models: Mapping[str, Any]) -> Iterator[Table]:
    """A table for each benchmark and kind of group of which there is more than one; the best of a row in green.

    `models`: figures by name, as the gateway reports them. A level's row is named `level 3`.
    """
    for benchmark in dict.fromkeys(score["conditions"]["problems"] for score in models.values()):
        mine = {name: score for name, score in models.items() if score["conditions"]["problems"] == benchmark}
        for kind in ("subject", "level"):
            found = {name: score[f"by_{kind}"] for name, score in mine.items() if score.get(f"by_{kind}")}
            names = sorted({name for groups in found.values() for name in groups}, key=int if kind == "level" else str.casefold)
            if len(names) > 1:
                yield _table(f"{benchmark}: pass@1 by {kind}", f"{kind} " if kind == "level" else "", names, found)


def _table(title: str, prefix: str, names: list[str], found: Mapping[str, Any]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("")
    for model in found:
        table.add_column(model, justify="right")
    table.add_column("n", justify="right", no_wrap=True)
    for name in names:
        scores = [groups.get(name) for groups in found.values()]
        best = max(score["pass_at_1"] for score in scores if score)
        table.add_row(
            f"{prefix}{name}", *(_cell(score, best) for score in scores), str(max(score["n"] for score in scores if score))
        )
    return table


def _cell(score: Mapping[str, Any] | None, best: float) -> Text:
    if score is None:
        return Text("–", style="dim")
    style = "bold green" if score["pass_at_1"] == best > 0 else ""
    return Text(f"{100 * score['pass_at_1']:.1f}% ± {100 * score['stderr']:.1f}", style=style)
