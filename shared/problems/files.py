"""Files of rows as publishers give them: JSONL, a JSON list of objects, or CSV with a heading."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.problems.formats import read_line
from shared.problems.rows import BadRow

LONGEST_FIELD = 2**20
"""Characters of a field of a CSV file."""
Row = tuple[int, dict[str, Any] | BadRow]
"""Its number (of the line it begins on; of a JSON list's element, from 1), and what stands there."""


class BadFile(ValueError):
    """A file that holds no rows at all: says why."""


def rows_of(path: Path) -> Iterator[Row]:
    """The rows of a file, by its ending: `.csv`, `.json`, anything else is JSONL. Raises BadFile."""
    try:
        if path.suffix == ".csv":
            yield from _csv(path)
        elif path.suffix == ".json":
            yield from _json(path)
        else:
            yield from _jsonl(path)
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _jsonl(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        for line, text in enumerate(file, 1):
            if text.strip():
                yield line, _or_bad(text.removeprefix(b"\xef\xbb\xbf"), line)


def _or_bad(text: bytes, line: int) -> dict[str, Any] | BadRow:
    try:
        return read_line(text, line)
    except BadRow as error:
        return error


def _json(path: Path) -> Iterator[Row]:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadFile(f"{path}: not JSON: {error}") from None
    if not isinstance(found, list):
        raise BadFile(
            f"{path}: a list of rows was expected, not {type(found).__name__}; a file of one object a line ends in .jsonl"
        )
    for number, row in enumerate(found, 1):
        yield number, row if isinstance(row, dict) else BadRow(number, f"a JSON object was expected, not {type(row).__name__}")


def _csv(path: Path) -> Iterator[Row]:
    csv.field_size_limit(LONGEST_FIELD)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        last = 1
        try:
            for row in reader:
                line, last = last + 1, reader.line_num
                if None in row:
                    yield line, BadRow(line, f"more fields than the heading has ({len(reader.fieldnames or ())})")
                else:
                    yield line, {key: value for key, value in row.items() if value is not None}
        except csv.Error as error:
            raise BadFile(f"{path}:{last + 1}: not CSV: {error}") from None
