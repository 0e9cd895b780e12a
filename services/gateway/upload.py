"""A JSONL upload on its way in: spooled to disk, checked line by line, then read again by whoever stores it."""

import json
from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Any, Self

from services.gateway.errors import InvalidProblems
from shared.problems.formats import BadRow, parse_line

IN_MEMORY = 8 * 2**20
"""Bytes of an upload that stay in memory; what is larger goes to a temporary file."""
LONGEST_LINE = 2**20
MOST_ERRORS = 1000
"""Bad lines that are listed; the rest is counted."""


class Upload:
    """One upload. `write` the body, `check` it, then read `problems` as often as needed."""

    def __init__(self) -> None:
        self._raw = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (closed by __exit__)
        self._checked = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._raw.close()
        self._checked.close()

    def write(self, chunk: bytes) -> None:
        """Adds a piece of the body."""
        self._raw.write(chunk)

    def check(self) -> None:
        """Parses every line. Raises InvalidProblems, which lists the bad ones by number; blank lines are passed over."""
        bad: list[BadRow] = []
        total = 0
        ids: dict[str, int] = {}
        for line, text in self._lines():
            try:
                body = _parse(text, line, ids)
            except BadRow as error:
                total += 1
                if len(bad) < MOST_ERRORS:
                    bad.append(error)
                continue
            self._checked.write(body + b"\n")
        self.count = len(ids)
        if total:
            raise InvalidProblems(
                f"{total} bad line{'s' if total > 1 else ''}; nothing was stored. First: {bad[0]}",
                errors=[{"line": error.line, "message": error.reason} for error in bad],
                total=total,
            )
        if not ids:
            raise InvalidProblems("the body holds no problems: one JSON object a line was expected", errors=[], total=0)

    def problems(self) -> Iterator[dict[str, Any]]:
        """The checked problems as JSON, in order."""
        self._checked.seek(0)
        for line in self._checked:
            yield json.loads(line)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Numbered lines, at most one byte more than LONGEST_LINE of each."""
        self._raw.seek(0)
        line = 0
        while text := self._raw.readline(LONGEST_LINE + 1):
            line += 1
            rest = text
            while len(rest) > LONGEST_LINE and not rest.endswith(b"\n"):
                rest = self._raw.readline(LONGEST_LINE + 1)
            if line == 1:
                text = text.removeprefix(b"\xef\xbb\xbf")
            if text.strip():
                yield line, text


def _parse(text: bytes, line: int, ids: dict[str, int]) -> bytes:
    if len(text) > LONGEST_LINE:
        raise BadRow(line, f"longer than {LONGEST_LINE} bytes")
    problem = parse_line(text, line)
    first = ids.setdefault(problem.id, line)
    if first != line:
        raise BadRow(line, f"id `{problem.id[:80]}` was used by line {first} already")
    return problem.model_dump_json().encode()
