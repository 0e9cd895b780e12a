"""`longthought thoughts`: what texts look like in figures (Part 1, Table 3), of a run's records or of a file, and two compared."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter
from rich import box
from rich.table import Table
from rich.text import Text

from services.cli.connect import gateway, stop
from services.cli.runs import JsonOption
from services.cli.terminal import REFUSED, out
from shared.contracts.thought import Span
from shared.statistics import TOKEN_UNIT, Statistics

KINDS = ("thought", "shortcut", "response", "example", "sample")
"""Kinds of record that have a text, in the order in which a run is searched for them where none is named."""
_SPANS = TypeAdapter(tuple[Span, ...])
SourceHelp = "RUN, RUN:STAGE, RUN:STAGE:KIND (KIND: thought, shortcut, response, example, sample), or a JSONL file."


def thoughts(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=SourceHelp)],
    other: Annotated[str | None, typer.Argument(metavar="[OTHER]", help="To compare with.", show_default=False)] = None,
    ngram: Annotated[list[str] | None, typer.Option("--ngram", help="Count these words, too. Repeatable.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure thoughts: tokens, lines, words a line, key n-grams, wrong turns. With OTHER, compare two sets."""
    names = [source, *([other] if other else [])]
    found = {}
    for name in names:
        statistics = Statistics(tuple(ngram or ()))
        for text, spans in texts_of(name):
            statistics.add(text, spans)
        if not statistics.count:
            stop(f"{name}: holds no text ({SourceHelp})", REFUSED)
        found[name] = statistics.figures()
    if as_json:
        print(json.dumps(found))
    else:
        out.print("", figures_table(names, [found[name] for name in names]), Text(f"Tokens are {TOKEN_UNIT}.", style="dim"))


def texts_of(source: str) -> Iterator[tuple[str, Sequence[Span]]]:
    """Texts, and the spans of those that have them, of a file or of a run's records."""
    path = Path(source)
    yield from _texts_of_file(path) if path.is_file() else _texts_of_run(source)


def _texts_of_file(path: Path) -> Iterator[tuple[str, Sequence[Span]]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                text = text_of(row)
            except (ValueError, TypeError, KeyError, IndexError, AttributeError):
                fields = "`messages`, `completion`, `response`, `output` or `text`"
                stop(f"{path}:{number}: no text found: a JSON object with {fields} was expected", REFUSED)
            yield text, _SPANS.validate_python(row.get("spans") or ())


def text_of(row: Mapping[str, Any]) -> str:
    """The text of a row: the last assistant's turn of `messages`, or one of the usual fields. Raises KeyError."""
    if "messages" in row:
        return str([turn["content"] for turn in row["messages"] if turn["role"] == "assistant"][-1])
    if "spans" in row and "text" not in row:
        return "".join(span["text"] for span in row["spans"]).strip()
    name = next((name for name in ("completion", "response", "output", "text") if name in row), None)
    if name is None:
        raise KeyError("text")
    return "\n\n".join(str(part) for part in (row.get("reasoning"), row[name]) if part)


def _texts_of_run(source: str) -> Iterator[tuple[str, Sequence[Span]]]:
    run, _, rest = source.partition(":")
    stage, _, kind = rest.partition(":")
    if kind and kind not in KINDS:
        stop(f"{source}: no records of kind `{kind}` have a text (these have: {', '.join(KINDS)})", REFUSED)
    with gateway() as client:
        client.run(run)  # an unknown run is said to be one
        for one in [kind] if kind else KINDS:
            empty = True
            for record in client.records(run, stage or None, one):
                empty = False
                yield text_of(record["body"]), _SPANS.validate_python(record["body"].get("spans") or ())
            if not empty:
                return


def figures_table(names: Sequence[str], figures: Sequence[Mapping[str, float]]) -> Table:
    """A row a figure; of two sets, the second's difference from the first as well."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("a text's mean", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    if len(figures) == 2:
        table.add_column("difference", justify="right", no_wrap=True)
    for row in dict.fromkeys(name for one in figures for name in one):
        values = [one.get(row) for one in figures]
        cells = ["–" if value is None else shown(row, value) for value in values]
        if len(values) == 2:
            first, second = values
            cells.append("" if first is None or second is None else shown(row, second - first, sign=True))
        table.add_row(row, *cells)
    return table


def shown(name: str, value: float, sign: bool = False) -> str:
    """A figure as people read it: counts whole, shares in percent."""
    plus = "+" if sign else ""
    if name in ("texts", "most tokens"):
        return f"{value:{plus},.0f}"
    return f"{100 * value:{plus}.1f}%" if name.startswith("share") else f"{value:{plus},.2f}"
