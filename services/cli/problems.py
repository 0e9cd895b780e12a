"""Commands on problem sets."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from services.cli.benchmarks import add_benchmark, list_benchmarks, refuse
from services.cli.connect import gateway, stop
from services.cli.runs import JsonOption
from services.cli.terminal import REFUSED, out, say
from shared.client import ApiError

app = typer.Typer(help="Add, list and delete problem sets.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The set's name, which recipes use.")]


@app.command()
def add(
    name: NameArgument,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="JSONL: rows of GSM8K, MATH, AIME, PRM800K or MR-GSM8K as published, or our own; of a benchmark also .json, .csv.",
            show_default=False,
        ),
    ] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(help="Rows of this benchmark: from FILE, or downloaded without one. `problems benchmarks` lists them."),
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(metavar="FILE.yaml", help="A benchmark file of your own: which field is what, and how to grade.")
    ] = None,
) -> None:
    """Add a problem set: all of a file, or nothing if a line is bad."""
    if file is not None and not file.is_file():
        stop(f"{file}: there is no such file", REFUSED)
    if benchmark or mapping:
        add_benchmark(name, file, benchmark, mapping)
        return
    if file is None:
        stop("Give a FILE of problems, or --benchmark NAME (`longthought problems benchmarks` lists them)", REFUSED)
    with gateway() as client:
        try:
            made = client.add_problems(name, file)
        except ApiError as error:
            lines = [fault for fault in error.errors if "line" in fault]
            if not lines:
                raise
            refuse(str(file), [(fault["line"], fault["message"]) for fault in lines])
    say(f"{name}: {made['count']} problems" + ("" if made["created"] else " (there already, the same)"))


app.command(name="benchmarks")(list_benchmarks)


@app.command(name="list")
def list_sets(as_json: JsonOption = False) -> None:
    """List problem sets."""
    with gateway() as client:
        found = client.problem_sets()
    if as_json:
        print(json.dumps(found))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("set")
    table.add_column("problems", justify="right")
    table.add_column("added", style="dim")
    for row in found:
        table.add_row(row["name"], f"{row['count']:,}", time.strftime("%Y-%m-%d %H:%M", time.localtime(row["created_at"])))
    out.print(table if found else "No problem sets yet: `longthought problems add NAME FILE.jsonl` adds one.")


@app.command()
def delete(name: NameArgument) -> None:
    """Delete a problem set. Refused while a live run uses it."""
    with gateway() as client:
        client.delete_problems(name)
    say(f"{name}: deleted")
