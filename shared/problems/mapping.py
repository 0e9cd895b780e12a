"""Rows of any publisher into Problems, as a benchmark's `mapping` says.

{"question": "A 23-year-old woman at 22 weeks of gestation has ...", "options": {"A": "Ampicillin", "B": "Ceftriaxone"},
"answer": "Ceftriaxone", "answer_idx": "B", "meta_info": "step2&3"}

with `{question: question, choices: options, answer: answer_idx}` is a problem with two choices, of which B is right. What is not
mapped, and plain, is kept in `metadata`.
"""

import json
import re
from collections.abc import Mapping as Dict
from collections.abc import Sequence
from typing import Any

from shared.contracts.benchmark import Benchmark, Constant, Mapping
from shared.contracts.grading import COMPARING, LETTERS
from shared.contracts.problem import Problem
from shared.problems.rows import BadRow, digest, problem_of, rest, text_of

_LEVEL = re.compile(r"\D*(\d+)\D*")
_EMPTY = (None, "")


def mapped(row: Dict[str, Any], line: int, benchmark: Benchmark) -> Problem:
    """A row as a Problem. Raises BadRow, which names the field that is missing or wrong."""
    mapping = benchmark.mapping
    assert mapping is not None, benchmark.name
    question = _text(row, mapping.question, line)
    choices = _choices(row, mapping, line)
    answer = _plain(_value(row, mapping.answer, line), mapping.answer, line) if mapping.answer else ""
    compared = benchmark.grading.kind != "judge" or benchmark.grading.rubric in COMPARING
    if mapping.answer and compared and not answer:
        raise BadRow(line, f"no answer: {_named(mapping.answer)} is missing or empty")
    if choices:
        answer = _letter(answer, choices, mapping, line)
    fields: dict[str, Any] = {
        "id": _text(row, mapping.id, line) if mapping.id else digest(benchmark.name, "\n".join([question, *choices])),
        "question": question,
        "answer": answer,
        "choices": choices,
        "grading": benchmark.grading,
        "solution": _optional(row, mapping.solution, line),
        "source": benchmark.name,
        "subject": _optional(row, mapping.subject, line),
        "level": _level(row, mapping, line),
        "metadata": rest(dict(row), *_used(mapping)),
    }
    return problem_of(fields, line)


def _value(row: Dict[str, Any], field: str | Constant | None, line: int) -> Any:
    """What stands in a field; None if there is nothing."""
    if field is None or isinstance(field, Constant):
        return field.constant if field else None
    value: Any = row
    for part in [field] if field in row else field.split("."):
        if isinstance(value, Dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal():
            value = value[int(part)] if int(part) < len(value) else None
        else:
            return None
    return value


def _text(row: Dict[str, Any], field: str, line: int) -> str:
    """A field that must be there."""
    value = _plain(_value(row, field, line), field, line)
    if not value:
        raise BadRow(line, f"`{field}` is missing or empty (fields: {', '.join(sorted(map(str, row))) or 'none'})")
    return value


def _optional(row: Dict[str, Any], field: str | Constant | None, line: int) -> str | None:
    return _plain(_value(row, field, line), field, line) or None


def _plain(value: Any, field: str | Constant | None, line: int) -> str:
    """Text, or a number as text; '' for nothing."""
    if value in _EMPTY:
        return ""
    text = text_of(value)
    if text is None:
        raise BadRow(line, f"{_named(field)} must be text or a number, not {json.dumps(value, default=str)[:60]}")
    return text.strip()


def _choices(row: Dict[str, Any], mapping: Mapping, line: int) -> tuple[str, ...]:
    """The choices' texts in order; missing ones at the end are passed over, as sets of mixed size have them."""
    if mapping.choices is None:
        return ()
    if isinstance(mapping.choices, tuple):
        where, found = ", ".join(f"`{name}`" for name in mapping.choices), [_value(row, name, line) for name in mapping.choices]
    else:
        where, value = f"`{mapping.choices}`", _value(row, mapping.choices, line)
        if isinstance(value, Dict):
            if wrong := sorted(set(value) - set(LETTERS)):
                raise BadRow(line, f"{where}: {wrong[0]!r} is no letter of a choice")
            last = max((LETTERS.index(letter) for letter in value), default=-1)
            value = [value.get(letter) for letter in LETTERS[: last + 1]]
        if not isinstance(value, list):
            raise BadRow(line, f"{where} must hold the choices: a list, or texts by letter")
        found = value
    texts = [_plain(one, mapping.choices if isinstance(mapping.choices, str) else None, line) for one in found]
    while texts and not texts[-1]:
        texts.pop()
    if len(texts) < 2 or not all(texts):
        raise BadRow(line, f"{where}: at least two choices are needed, and none in between may be empty")
    return tuple(texts)


def _letter(answer: str, choices: Sequence[str], mapping: Mapping, line: int) -> str:
    """The letter of the right choice, however the row names it."""
    known = tuple(LETTERS[: len(choices)])
    if mapping.answer_as == "text":
        places = [place for place, choice in enumerate(choices) if choice == answer]
        if len(places) != 1:
            raise BadRow(line, f"{_named(mapping.answer)} is {answer[:60]!r}: the text of {len(places)} choices, not of one")
        return known[places[0]]
    if mapping.answer_as == "letter":
        letter = answer.strip("().").upper()
    else:
        place = int(answer) - (mapping.answer_as == "number") if answer.isdecimal() else -1
        letter = known[place] if 0 <= place < len(choices) else ""
    if letter not in known:
        counted = {"letter": "", "index": ", counted from 0", "number": ", counted from 1"}[mapping.answer_as]
        raise BadRow(line, f"{_named(mapping.answer)} is {answer[:60]!r}: no choice (A to {known[-1]}{counted})")
    return letter


def _level(row: Dict[str, Any], mapping: Mapping, line: int) -> int | None:
    stated = _optional(row, mapping.level, line)
    if stated is None:
        return None
    found = _LEVEL.fullmatch(stated)
    if found is None:
        raise BadRow(line, f"{_named(mapping.level)} is {stated[:40]!r}: a level holds one whole number")
    return int(found[1])


def _used(mapping: Mapping) -> list[str]:
    """The fields that need no place in `metadata`."""
    fields = [mapping.question, mapping.answer, mapping.solution, mapping.subject, mapping.level, mapping.id]
    fields += mapping.choices if isinstance(mapping.choices, tuple) else [mapping.choices]
    return [field for field in fields if isinstance(field, str)]


def _named(field: str | Constant | None) -> str:
    return f"`{field}`" if isinstance(field, str) else "a choice" if field is None else f"the constant {field.constant!r}"
