"""Planted mistakes: one at most, of its kind, carried on, and labelled where it is."""

import re
from collections import Counter
from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.problem import Problem, StepLabel
from shared.problems.generate import generate
from shared.problems.mistakes import KINDS, sequence, sums_of

EQUALITY = re.compile(r"Step (\d+): (\d+) ([-+*/]) (\d+) = (\d+) (.+)\.")
SEEDS = st.integers(min_value=0, max_value=2**31)


def value(left: str, operator: str, right: str) -> float:
    a, b = int(left), int(right)
    return {"+": a + b, "-": a - b, "*": a * b, "/": a / b}[operator]


def of(problem: Problem) -> tuple[list[str], list[str], list[StepLabel]]:
    right = (problem.solution or "").splitlines()
    return right, [step.text for step in problem.steps], [step.label for step in problem.steps]


@settings(max_examples=20)
@given(SEEDS)
def test_labels_say_where_the_mistake_is_and_only_there(seed: int) -> None:
    for problem in islice(sequence(seed), 40):
        right, texts, labels = of(problem)
        mistake, place = problem.metadata["mistake"], problem.metadata.get("mistake_step")
        assert len(right) == len(texts)
        if mistake == "none":
            assert texts == right and set(labels) == {StepLabel.CORRECT} and place is None
            continue
        first = int(str(place)) - 1
        assert labels == [StepLabel.CORRECT] * first + [StepLabel.INCORRECT] + [StepLabel.AFTER_ERROR] * (len(texts) - first - 1)
        assert texts[:first] == right[:first] and texts[first] != right[first]
        assert texts[-1] != right[-1], "a mistake never comes to the right answer"
        sums = [match.groups() for text in texts[:-1] if (match := EQUALITY.fullmatch(text))]
        assert len(sums) == len(texts) - 1 and texts[-1] == f"The answer is {sums[-1][4]}."
        for number, left, operator, other, result, _ in sums:
            slip = mistake == "sum" and int(number) == first + 1
            assert (value(left, operator, other) != int(result)) == slip, "every other sum is right, also behind the mistake"
        wrong, good = sums[first], EQUALITY.fullmatch(right[first]).groups()  # type: ignore[union-attr]
        differing = {name for name, a, b in zip(("left", "operator", "right"), wrong[1:4], good[1:4], strict=True) if a != b}
        expected: dict[str, tuple[set[str], ...]] = {"sum": (set(),), "copy": ({"left"}, {"right"}), "operation": ({"operator"},)}
        assert differing in expected[str(mistake)]
        assert wrong[4] != good[4] and wrong[5] == good[5]


@settings(max_examples=20)
@given(SEEDS)
def test_what_follows_is_calculated_from_the_mistake(seed: int) -> None:
    for problem in islice(sequence(seed), 30):
        _, texts, labels = of(problem)
        for place, one in enumerate(sums_of(problem)):
            shown = EQUALITY.fullmatch(texts[place])
            assert shown is not None
            results = [int(match[5]) for text in texts[:place] if (match := EQUALITY.fullmatch(text))]
            if labels[place] is StepLabel.AFTER_ERROR:
                assert int(shown[2]) == (one.left if one.left_of is None else results[one.left_of])
                assert int(shown[4]) == (one.right if one.right_of is None else results[one.right_of])
            assert one.left_of is None or sums_of(problem)[one.left_of].result == one.left
            assert one.right_of is None or sums_of(problem)[one.right_of].result == one.right


def test_the_sequence_is_distinct_and_the_same_every_time_and_has_all_kinds() -> None:
    problems = list(generate("arithmetic-labelled", 7, 0, 600))
    assert problems == list(generate("arithmetic-labelled", 7, 0, 600))
    assert problems[100:110] == list(generate("arithmetic-labelled", 7, 100, 10))
    assert len({problem.question for problem in problems}) == len({problem.id for problem in problems}) == 600
    kinds = Counter(str(problem.metadata["mistake"]) for problem in problems)
    assert set(kinds) == {"none", *KINDS}
    assert 150 < kinds["none"] < 250 and all(kinds[kind] > 80 for kind in KINDS)
