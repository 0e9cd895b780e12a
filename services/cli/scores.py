"""`longthought scores`: people's scores of a run's samples; and how the report shows them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.cli.benchmarks import refuse
from services.cli.connect import gateway, stop
from services.cli.runs import RunArgument
from services.cli.terminal import REFUSED, say
from shared.client import ApiError


def scores(
    run_id: RunArgument,
    file: Annotated[
        Path, typer.Argument(metavar="FILE.csv", help="Columns model, problem_id, scorer, score; draw where there were several.")
    ],
    stage: Annotated[
        str | None, typer.Option(help="Of which evaluate stage; needed where several measured the same.", show_default=False)
    ] = None,
) -> None:
    """Add people's scores of a run's samples, to be shown beside the judge's: all of a file, or nothing if a line is bad."""
    if not file.is_file():
        stop(f"{file}: there is no such file", REFUSED)
    with gateway() as client:
        try:
            made = client.add_scores(run_id, file, stage)
        except ApiError as error:
            lines = [fault for fault in error.errors if "line" in fault]
            if not lines:
                raise
            refuse(str(file), [(fault["line"], fault["message"]) for fault in lines])
    earlier = f" ({made['replaced']} in place of earlier ones)" if made["replaced"] else ""
    say(f"{run_id}: {made['count']} scores{earlier}")


def judged_table(models: Mapping[str, Any]) -> list[RenderableType]:
    """What judges' rubrics tell beyond right and wrong: a row a model, of those that have it; nothing if none has."""
    rows = {
        name: score
        for name, score in models.items()
        if any(score.get(field) is not None for field in ("score_mean", "not_attempted"))
    }
    if not rows:
        return []
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("judged", overflow="fold")
    for title in ("mean score", "not attempted", "not graded"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, score in rows.items():
        mean = "–" if score["score_mean"] is None else f"{score['score_mean']:.1f} ± {score['score_stderr']:.1f}"
        table.add_row(name, mean, _number(score["not_attempted"], ".1%"), f"{score['ungraded']:,}")
    return [table]


def people_table(stage: str, rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """A row a model and scorer: what people said, what the machine said of the same samples, and how far they agree."""
    scored = any(row["mean"] is not None for row in rows)
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("model", overflow="fold", min_width=5)
    table.add_column("scorer", overflow="fold", min_width=6)
    for title in ("scores", "right", "machine", *(("mean", "judge", "corr.") if scored else ()), "equal"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        numbers = [_number(row[key], form) for key, form in (("mean", ".1f"), ("machine_mean", ".1f"), ("correlation", "+.2f"))]
        shares = [_number(row[key], ".1%") for key in ("right", "machine_right")]
        cells = [f"{row['n']:,}", *shares, *(numbers if scored else ()), _number(row["equal"], ".1%")]
        table.add_row(row["model"], row["scorer"], *cells, style="bold" if row["scorer"] == "all" else "")
    return Group(Text.assemble(("People's scores  ", "bold"), stage), table)


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
