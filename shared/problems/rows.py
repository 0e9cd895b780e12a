"""What all readers of publishers' rows share."""

import hashlib
from typing import Any

from shared.contracts.problem import Scalar


class BadRow(ValueError):
    """A row that is no problem. `line` is its number in the file, from 1; `reason` says what is missing or wrong."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


def rest(row: dict[str, Any], *used: str) -> dict[str, Scalar]:
    """What else the publisher says of a problem, as far as it is plain."""
    return {key: value for key, value in row.items() if key not in used and isinstance(value, str | int | float)}


def digest(source: str, question: Any) -> str:
    """An id for a row that has none."""
    return f"{source}-{hashlib.sha256(str(question).encode(errors='replace')).hexdigest()[:16]}"
