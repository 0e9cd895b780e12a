"""Benchmarks at the command line: the table of those that are known, and their rows on the way to the gateway."""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.cli.connect import gateway, stop
from services.cli.runs import JsonOption
from services.cli.terminal import REFUSED, err, out, say
from shared.contracts.benchmark import Benchmark
from shared.contracts.grading import Grading
from shared.problems.benchmarks import BadBenchmark, Converted, benchmark, benchmarks, convert, download, generated, read
from shared.problems.files import BadFile, rows_of

SHOWN_ERRORS = 20
WIDE = 130
"""Columns of a terminal from which on the table says where to read of a benchmark."""


def add_benchmark(name: str, file: Path | None, known_as: str | None, mapping: Path | None) -> None:
    """Adds the rows of a benchmark (bundled, or of the user's own file) as problem set `name`: all of them, or none."""
    if known_as and mapping:
        stop("--benchmark and --mapping: give one of the two", REFUSED)
    converted = Converted()
    try:
        known = read(mapping) if mapping else benchmark(known_as or "")
        if known.generator and file:
            stop(f"{known.name}: its problems are made here, not read from {file}", REFUSED)
        with tempfile.TemporaryDirectory() as folder, err.status(f"Reading {known.title} ..."):
            checked = Path(folder) / "problems.jsonl"
            with checked.open("w", encoding="utf-8") as spool:
                problems = (
                    generated(known) if known.generator else convert(rows_of(file) if file else download(known), known, converted)
                )
                for problem in problems:
                    spool.write(problem.model_dump_json() + "\n")
            if converted.bad:
                refuse(str(file or known.name), [(error.line, error.reason) for error in converted.bad])
            with gateway() as client:
                made = client.add_problems(name, checked)
    except (BadBenchmark, BadFile) as error:
        stop(str(error), REFUSED)
    say(f"{name}: {made['count']} problems of {known.title}" + ("" if made["created"] else " (there already, the same)"))
    if converted.repeated:
        say(f"  {len(converted.repeated)} rows repeat an earlier one and were left out (the first: line {converted.repeated[0]})")


def refuse(file: str, faults: Iterable[tuple[int, str]]) -> None:
    """Ends the command with a message a bad line, the first SHOWN_ERRORS of them."""
    lines = [f"{file}:{line}: {message}" for line, message in faults]
    more = [f"... and {len(lines) - SHOWN_ERRORS} more bad lines"] if len(lines) > SHOWN_ERRORS else []
    stop("\n".join([*lines[:SHOWN_ERRORS], *more, "Nothing was stored."]), REFUSED)


def list_benchmarks(as_json: JsonOption = False) -> None:
    """List the benchmarks that are known by name."""
    if as_json:
        print(json.dumps([one.model_dump(mode="json") for one in benchmarks().values()]))
    else:
        out.print(drawn(list(benchmarks().values()), out.width))


def drawn(known: list[Benchmark], width: int) -> RenderableType:
    """A row a benchmark: how it is graded, how many rows it has and where they come from; where to read of it, if there is room."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("benchmark", style="cyan", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    table.add_column("graded by", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("from", no_wrap=True)
    wide = width >= WIDE
    if wide:
        table.add_column("paper", style="dim", no_wrap=True)
        table.add_column("source", style="dim", overflow="fold")
    for one in known:
        rows = f"{one.size:,}" if one.size else "–"
        read_at = [one.paper, f"hub: {one.hub.id}" if one.hub else one.source.removeprefix("https://")] if wide else []
        table.add_row(one.name, one.title, _graded(one.grading), rows, _origin(one), *read_at)
    notes = (
        "longthought problems add NAME --benchmark BENCHMARK [FILE]",
        "hub: downloaded if no FILE is given; file: needs FILE (.jsonl, .json, .csv)",
    )
    return Group(table, *(Text(f"  {note}", style="dim") for note in notes))


def _graded(grading: Grading) -> Text:
    if grading.kind != "judge":
        return Text(grading.kind)
    return Text.assemble("judge: ", (str(grading.rubric), "magenta"))


def _origin(one: Benchmark) -> Text:
    if one.generator:
        return Text("here", style="green")
    return Text("hub", style="green") if one.hub else Text("file", style="yellow")
