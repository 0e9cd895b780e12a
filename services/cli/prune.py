"""`longthought prune`: frees ledger and files, never what a dataset, checkpoint or report rests on."""

import json
from enum import StrEnum
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from services.cli.connect import gateway
from services.cli.runs import JsonOption
from services.cli.terminal import out, say


class Kind(StrEnum):
    """What can be freed."""

    PARTIALS = "partials"
    ATTEMPTS = "attempts"
    EVENTS = "events"
    RECORDS = "records"
    ANSWERS = "answers"
    WORKERS = "workers"
    FILES = "files"


ABOUT = {
    "partials": "what unfinished items had saved",
    "attempts": "results of attempts that were not taken",
    "events": "events of ended runs",
    "records": "results that no dataset, checkpoint or report rests on",
    "answers": "endpoints' answers, kept to be given again",
    "workers": "workers long gone",
    "files": "files that no result names",
}


def prune(
    kind: Annotated[
        list[Kind] | None,
        typer.Option(help="What to free. Repeatable; if not given, all but records and answers.", show_default=False),
    ] = None,
    older_than: Annotated[float, typer.Option(metavar="DAYS", min=0, help="Only of runs that ended so long ago.")] = 30.0,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only of this run.", show_default=False)] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this, only what would go is shown.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Free space in the ledger and among the files. Live runs, and what results rest on, stay."""
    with gateway() as client:
        found = client.prune(kinds=[str(one) for one in kind or []], older_than_days=older_than, run=run, dry_run=not yes)
    if as_json:
        print(json.dumps(found))
        return
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("kind", no_wrap=True)
    table.add_column("freed" if yes else "would go", justify="right", no_wrap=True)
    table.add_column("what", style="dim")
    for name, counts in found["freed"].items():
        rows = f"{counts['rows']:,} rows" if "rows" in counts else f"{counts['files']:,} files, {counts['bytes'] / 2**20:,.1f} MiB"
        table.add_row(name, rows, ABOUT[name])
    out.print(table)
    if not yes:
        say("Nothing was deleted: `--yes` does it.")
