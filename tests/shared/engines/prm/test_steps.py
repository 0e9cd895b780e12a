"""A response's steps are a search's, and how their scores become one."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.searcher.lines import cut_by_length
from shared.engines.prm.steps import aggregated, steps_of

TEXTS = st.lists(st.sampled_from(["Step 1: 2 + 2 = 4.", " so", "", "  ", "\n", "\n\n", "\r\n", "\t", "\x0b", "ки"])).map("".join)


@given(TEXTS)
def test_a_responses_steps_are_those_of_a_search(text: str) -> None:
    assert steps_of(text) == [step for one in cut_by_length(text, 0.3, True) if (step := one.text.strip())]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", []),
        (" \n\n", []),
        ("one", ["one"]),
        ("Step 1: 5 * 6 = 30.\n\n  Step 2: 30 - 4 = 26.\nThe answer is 26.\n", 3),
        ("a\x0bb\u2028c", ["a\x0bb\u2028c"]),  # what a search would not stop at
    ],
)
def test_steps_are_lines_that_are_not_blank(text: str, steps: list[str] | int) -> None:
    assert (len(steps_of(text)) if isinstance(steps, int) else steps_of(text)) == steps


@pytest.mark.parametrize(("how", "value"), [("last", 0.5), ("min", 0.25), ("product", 0.125), ("mean", 1.75 / 3)])
def test_many_scores_become_one(how: str, value: float) -> None:
    assert aggregated(how, [1.0, 0.25, 0.5]) == pytest.approx(value)  # type: ignore[arg-type]
    assert aggregated(how, [0.7]) == 0.7  # type: ignore[arg-type]
    assert aggregated(how, []) is None  # type: ignore[arg-type]


@given(st.sampled_from(["last", "min", "product", "mean"]), st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_one_value_of_scores_is_a_score(how: str, scores: list[float]) -> None:
    value = aggregated(how, scores)  # type: ignore[arg-type]
    assert value is not None and 0 <= value <= 1 and not math.isnan(value)
