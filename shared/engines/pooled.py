"""Answers of vLLM's pooling API (`POST /pooling`, task `token_classify`) as logits: sequence -> token -> label."""

from typing import Any

TASK = "token_classify"


def pooled(answer: dict[str, Any], inputs: int) -> list[list[list[float]]]:
    """The logits of a pooling answer: input -> token -> label. Raises ValueError in words for what is none."""
    data = answer.get("data")
    if not isinstance(data, list) or len(data) != inputs:
        raise ValueError(f"{len(data) if isinstance(data, list) else 'no'} outputs for {inputs} sequences")
    if not all(isinstance(one, dict) for one in data) or sorted(one.get("index", -1) for one in data) != list(range(inputs)):
        raise ValueError("outputs that do not say whose they are")
    return [_rows(one["index"], one.get("data")) for one in sorted(data, key=lambda one: int(one["index"]))]


def _rows(place: int, rows: Any) -> list[list[float]]:
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise ValueError(f"output {place} is not a list of logits for each token (is its task {TASK}?)")
    if not all(_is_number(value) for row in rows for value in row):  # JSON has no NaN: vLLM writes null
        raise ValueError(f"output {place} holds something that is no number (NaN?)")
    return rows


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value
