"""Commands on problem sets."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from services.cli.connect import gateway, stop
from services.cli.runs import JsonOption
from services.cli.terminal import REFUSED, out, say
from shared.client import ApiError

app = typer.Typer(help="Add, list and delete problem sets.", no_args_is_help=True)
SHOWN_ERRORS = 20

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The set's name, which recipes use.")]


@app.command()
def add(
    name: NameArgument,
    file: Annotated[
        Path, typer.Argument(metavar="FILE.jsonl", help="Rows of GSM8K, MATH, AIME, PRM800K or MR-GSM8K as published, or our own.")
    ],
) -> None:
    """Add a problem set: all of a file, or nothing if a line is bad."""
    if not file.is_file():
        stop(f"{file}: there is no such file", REFUSED)
    with gateway() as client:
        try:
            made = client.add_problems(name, file)
        except ApiError as error:
            lines = [fault for fault in error.errors if "line" in fault]
            if not lines:
                raise
            shown = [f"{file}:{fault['line']}: {fault['message']}" for fault in lines[:SHOWN_ERRORS]]
            more = [f"... and {len(lines) - SHOWN_ERRORS} more bad lines"] if len(lines) > SHOWN_ERRORS else []
            stop("\n".join([*shown, *more, "Nothing was stored."]), REFUSED)
    say(f"{name}: {made['count']} problems" + ("" if made["created"] else " (there already, the same)"))


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
