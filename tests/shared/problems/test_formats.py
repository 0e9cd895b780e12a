"""Rows of every publisher, good and bad."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.problem import Problem
from shared.problems.formats import BadRow, parse_line, parse_row

GSM8K = {
    "question": "Lee packs 1,200 nails, then half as many screws. How many pieces is that?",
    "answer": "Lee packs 1,200/2 = <<1200/2=600>>600 screws.\nThat is 1200+600 = <<1200+600=1800>>1,800 pieces.\n#### 1,800",
}
MATH = {
    "problem": "What is half of $\\frac{3}{2}$?",
    "solution": "Not $\\boxed{1}$: it is $\\boxed{\\frac{3}{4}}$.",
    "answer": "\\frac{3}{4}",
    "subject": "Prealgebra",
    "level": 2,
    "unique_id": "test/prealgebra/1.json",
}
AIME = {
    "id": 67,
    "problem": "Find the number of minutes.",
    "solution": "It is $\\boxed{025}$.",
    "answer": "025",
    "url": "https://example.org/wiki/index.php/2024_AIME_II_Problems/Problem_2",
}
OURS = {"id": "pens-1", "question": "Tom has 5 boxes of 6 pens. How many?", "answer": "30", "source": "mine", "level": 1}


def without(row: dict[str, Any], *keys: str, **changed: Any) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in keys} | changed


def test_gsm8k() -> None:
    problem = parse_row(GSM8K, 1)
    assert problem.answer == "1800"
    assert problem.source == "gsm8k"
    assert problem.id.startswith("gsm8k-")
    assert problem.solution == "Lee packs 1,200/2 = 600 screws.\nThat is 1200+600 = 1,800 pieces.\nThe answer is 1800."
    assert parse_row(dict(GSM8K), 99).id == problem.id


def test_math() -> None:
    problem = parse_row(MATH, 1)
    expected = ("test/prealgebra/1.json", "\\frac{3}{4}", "Prealgebra", 2, "math")
    assert (problem.id, problem.answer, problem.subject, problem.level, problem.source) == expected
    assert problem.solution == MATH["solution"]


def test_original_math_states_its_answer_in_the_last_box() -> None:
    problem = parse_row(without(MATH, "answer", "subject", "unique_id", type="Algebra", level="Level 5"), 1)
    assert (problem.answer, problem.subject, problem.level) == ("\\frac{3}{4}", "Algebra", 5)
    assert parse_row(without(MATH, level="Level ?"), 1).level is None


@pytest.mark.parametrize("answer", ["025", 25, 25.0, None])
def test_aime(answer: Any) -> None:
    problem = parse_row(without(AIME, answer=answer), 1)
    assert (problem.id, problem.answer, problem.source) == ("2024-II-2", "25", "aime")
    assert problem.metadata["url"] == AIME["url"]


def test_aime_as_another_publisher_writes_it() -> None:
    problem = parse_row({"ID": "2024-I-4", "Problem": "Find it.", "Solution": "Long.", "Answer": 33}, 1)
    assert (problem.id, problem.answer, problem.solution, problem.source) == ("2024-I-4", "33", "Long.", "aime")


def test_ours() -> None:
    problem = parse_row(OURS, 1)
    assert problem == Problem.model_validate(OURS)
    assert parse_row({"question": "6 * 7?", "answer": 42}, 1).answer == "42"
    assert parse_line(problem.model_dump_json(), 1) == problem


@pytest.mark.parametrize(
    ("stated", "answer"),
    [
        ("1234567.0", "1234567"),
        ("1048576.0", "1048576"),
        ("-2500001.0", "-2500001"),
        ("30.0", "30"),
        ("1234567.25", "1234567.25"),
        ("0.1", "0.1"),
        ("1e-5", "0.00001"),
        ("1e16", "10000000000000000"),
        ("1e23", "1" + 23 * "0"),  # the number that was written, not the nearest one that a machine holds
        ("12345678901234567890", "12345678901234567890"),
    ],
)
def test_a_number_keeps_its_digits(stated: str, answer: str) -> None:
    """As pandas writes a column of whole numbers that had a gap: all are floats then. It is plainly a number without `id`, too."""
    assert parse_line(f'{{"id": "p1", "question": "How many?", "answer": {stated}}}', 1).answer == answer
    assert parse_line(f'{{"question": "How many?", "answer": {stated}}}', 1).answer == answer
    assert parse_line(f'{{"problem": "How many?", "answer": {stated}}}', 1).answer == answer


BAD = {
    "gsm8k without ####": (without(GSM8K, answer="It is 600+1200 pieces."), "no final answer"),
    "gsm8k with nothing after ####": (without(GSM8K, answer="It is much.\n####"), "nothing follows"),
    "gsm8k without answer": (without(GSM8K, "answer"), "no `answer`"),
    "math without answer and box": (without(MATH, "answer", solution="It is clear."), "neither `answer` nor"),
    "math with an open box": (without(MATH, "answer", solution="It is $\\boxed{3"), "neither `answer` nor"),
    "math with an empty answer": (without(MATH, "solution", answer=""), "neither `answer` nor"),
    "math without problem": (without(MATH, "problem"), "no `question`, no `problem` and no `messages`"),
    "aime with a fraction": (without(AIME, answer="1/2"), "integer from 0 to 999"),
    "aime out of range": (without(AIME, answer=1000), "integer from 0 to 999"),
    "aime without answer": (without(AIME, "answer", "solution"), "no final answer"),
    "ours without answer": (without(OURS, "answer"), "no final answer"),
    "ours with a list": (without(OURS, answer=[30]), "`answer` must be text or a number"),
    "ours with true": (without(OURS, answer=True), "`answer` must be text or a number"),
    "ours with infinity": (without(OURS, answer=float("inf")), "`answer` must be text or a number, not Infinity"),
    "no id, and words": ({"question": "6 * 7?", "answer": "1,200 pens"}, "needs a plain number there (72, -0.5 or 3/4), not '1,"),
    "ours with an unknown key": (without(OURS, colour="red"), "`colour`: "),
    "ours with a wrong type": (without(OURS, level="high"), "`level`: "),
    "question not text": (without(OURS, question=7), "`question`: "),
    "a very long id": (without(OURS, id="x" * 201), "`id`: "),
    "a NUL": (without(OURS, question="Tom\0"), "NUL"),
    "a lone surrogate": (without(OURS, question="Tom \ud800"), "unicode"),
    "empty": ({}, "fields: none"),
}


@pytest.mark.parametrize(("row", "message"), BAD.values(), ids=BAD.keys())
def test_bad_rows_are_refused_by_line(row: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRow) as refused:
        parse_line(json.dumps(row).replace("Infinity", "1e999"), 7)
    assert refused.value.line == 7
    assert message in refused.value.reason
    assert str(refused.value).startswith("line 7: ")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '{"question": NaN}', "[" * 100_000, b"\xff"])
def test_what_is_no_row(text: str | bytes) -> None:
    with pytest.raises(BadRow):
        parse_line(text, 1)


JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.text(max_size=3), max_size=2)
FIELDS = ["question", "answer", "problem", "Problem", "Answer", "solution", "id", "url", "subject", "level", "metadata", "x"]


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_any_object_is_a_problem_or_a_bad_row(row: dict[str, Any]) -> None:
    try:
        problem = parse_row(row, 1)
    except BadRow:
        return
    assert problem.question and problem.answer and problem.id
    assert "\0" not in problem.model_dump_json()
