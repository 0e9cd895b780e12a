"""What all readers of publishers' rows share."""

import hashlib
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from shared.contracts.problem import Problem, Scalar


class BadRow(ValueError):
    """A row that is no problem. `line` is its number in the file, from 1; `reason` says what is missing or wrong."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


def rest(row: dict[str, Any], *used: str) -> dict[str, Scalar]:
    """What else the publisher says of a problem, as far as it is plain."""
    return {key: value for key, value in row.items() if key not in used and isinstance(value, str | int | float)}


def text_of(value: Any) -> str | None:
    """A text as it stands, or a number with all its digits: `1234567` of 1234567.0, `0.00001` of 1e-5. None of anything else: a
    boolean, a list, and what is not finite (JSON's 1e999, another file's NaN).
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return str(value)
    # the shortest decimal that is read as this number, written out; `:g` would keep six digits of it
    return f"{Decimal(repr(value)):f}".removesuffix(".0") if math.isfinite(value) else None


def digest(source: str, question: Any) -> str:
    """An id for a row that has none."""
    return f"{source}-{hashlib.sha256(str(question).encode(errors='replace')).hexdigest()[:16]}"


def problem_of(fields: Mapping[str, Any], line: int) -> Problem:
    """A row's fields as a Problem. Raises BadRow, which names what is missing or wrong."""
    try:
        problem = Problem.model_validate(fields)
    except ValidationError as error:
        raise BadRow(line, "; ".join(explained(error))) from None
    texts = [value for _, value in problem if isinstance(value, str)]
    texts += [text for pair in problem.metadata.items() for text in pair if isinstance(text, str)]
    texts += [one.text for step in problem.steps for one in (step, *step.alternatives)]
    texts += [*problem.choices, problem.grading.criteria]
    if any("\0" in text for text in texts):  # JSON allows it, PostgreSQL does not
        raise BadRow(line, "a NUL character (\\u0000)")
    return problem


def explained(error: ValidationError) -> list[str]:
    """What pydantic found wrong, as `place`: message."""
    found = ((".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")) for one in error.errors())
    return [f"`{place}`: {message}" if place else message for place, message in found]
