"""Generated problems: true, distinct, the same every time."""

import re
from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.problems.generate import generate
from shared.problems.scenarios import SCENARIOS

EQUALITY = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")
SEEDS = st.integers(min_value=0, max_value=2**31)


FAMILIES = {"arithmetic": (2, 4, 300), "arithmetic-hard": (4, 6, 1000)}
"""Family -> fewest and most steps, and what no answer reaches."""


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=25)
@given(seed=SEEDS)
def test_every_equality_is_true_and_the_last_is_the_answer(family: str, seed: int) -> None:
    fewest, most, bound = FAMILIES[family]
    for problem in generate(family, seed, 0, 40):
        *steps, conclusion = (problem.solution or "").splitlines()
        assert fewest <= len(steps) <= most and problem.id.startswith(f"{family}-{seed}-")
        assert conclusion == f"The answer is {problem.answer}."
        known = {int(number) for number in re.findall(r"\d+", problem.question)}
        for number, step in enumerate(steps, 1):
            assert step.startswith(f"Step {number}: ")
            [(left, operator, right, result)] = EQUALITY.findall(step)
            a, b, c = int(left), int(right), int(result)
            assert {"+": a + b, "-": a - b, "*": a * b, "/": a / b}[operator] == c
            assert {a, b} <= known, "a step uses only what the question or an earlier step gave"
            known.add(c)
        assert str(c) == problem.answer
        assert 0 < c < bound


@settings(max_examples=15)
@given(SEEDS, st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_slices_are_parts_of_one_sequence(seed: int, first: int, second: int, gap: int) -> None:
    whole = list(generate("arithmetic", seed, 0, first + gap + second))
    one = list(generate("arithmetic", seed, 0, first))
    other = list(generate("arithmetic", seed, first + gap, second))
    assert one == whole[:first]
    assert other == whole[first + gap :]
    assert len({problem.question for problem in whole}) == len({problem.id for problem in whole}) == len(whole)


def _blanked(question: str) -> str:
    """A question with every capitalised word and every plural blanked: two that differ only in names and things become equal."""
    return re.sub(r"\b([A-Z][a-z]+|[a-z]+s|dollars)\b", "_", question)


def test_problems_differ_in_more_than_names() -> None:
    questions = [problem.question for problem in generate("arithmetic", 5, 0, 3000)]
    repeated = [question for question, count in Counter(map(_blanked, questions)).items() if count > 1]
    assert len(repeated) < 30  # scenarios whose clauses are alike may meet by chance


def test_stories_vary() -> None:
    assert len(SCENARIOS) >= 12
    problems = list(generate("arithmetic", 1, 0, 500))
    openings = {re.sub(r"\d+", "#", " ".join(problem.question.split(".")[0].split()[1:])) for problem in problems}
    assert len(openings) > 30
    assert Counter(problem.level for problem in problems).keys() == {2, 3, 4}
    assert max(len(problem.question.split()) for problem in problems) <= 50


def test_without_a_count_the_sequence_goes_on() -> None:
    assert [problem.id for problem in islice(generate("arithmetic", 3, 2), 2)] == ["arithmetic-3-2", "arithmetic-3-3"]


def test_the_sequence_is_the_same_everywhere() -> None:
    [problem] = generate("arithmetic", 0, 1, 1)
    assert problem.question == "Eva lays 8 rows of 5 bricks. She lays 29 more. How many bricks are in place?"
    assert problem.answer == "69"


def test_an_unknown_generator_is_refused() -> None:
    with pytest.raises(ValueError, match="no generator `algebra`"):
        generate("algebra", 0, 0, 1)


def test_the_mixture_takes_from_both_families_in_turn() -> None:
    mixed = list(generate("arithmetic-mixed", 4, 10, 6))
    assert mixed[::2] == list(generate("arithmetic", 4, 5, 3)) and mixed[1::2] == list(generate("arithmetic-hard", 4, 5, 3))
