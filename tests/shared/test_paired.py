"""Paired comparison: by hand, and what must hold for all."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.paired import arms, mcnemar, paired


@pytest.mark.parametrize(
    ("one", "other", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 0, 2 / 32),
        (0, 10, 2 / 1024),
        (3, 3, 1.0),
        (10, 2, 2 * (1 + 12 + 66) / 4096),
        (400, 400, 1.0),
        (500, 524, 0.4723),
        (2000, 2326, 7.7e-7),
    ],
)
def test_mcnemars_exact_test(one: int, other: int, p: float) -> None:
    assert mcnemar(one, other) == mcnemar(other, one) == pytest.approx(p, rel=0.02)


def test_a_clear_gain_and_one_that_is_chance() -> None:
    problems = [f"p{n}" for n in range(200)]
    first = {problem: [n % 4 == 0, False] for n, problem in enumerate(problems)}
    better = {problem: [n % 2 == 0, n % 4 == 0] for n, problem in enumerate(problems)}
    found = paired(first, better)
    assert (found.problems, found.first, found.second, found.difference) == (200, 0.125, 0.375, 0.25)
    assert 0.15 < found.low < 0.25 < found.high < 0.35 and (found.only_first, found.only_second) == (0, 50)
    assert found.p_value < 1e-10
    nothing = paired(first, first)
    assert (nothing.difference, nothing.low, nothing.high, nothing.p_value) == (0, 0, 0, 1.0)


def test_only_problems_of_both_count() -> None:
    assert paired({"a": [True], "b": [False], "c": []}, {"b": [True], "c": [True], "d": [True]}).problems == 1
    with pytest.raises(ValueError, match="no problem in common"):
        paired({"a": [True]}, {"b": [True]})


_GRADED = st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.booleans(), min_size=1, max_size=3), min_size=1)


@settings(max_examples=20)
@given(_GRADED, _GRADED)
def test_the_other_way_round_it_is_the_opposite(first: dict[str, list[bool]], second: dict[str, list[bool]]) -> None:
    if not first.keys() & second.keys():
        return
    there, back = paired(first, second), paired(second, first)
    assert there.difference == pytest.approx(-back.difference) and there.p_value == back.p_value
    assert there.low <= there.difference + 1e-12 and there.difference <= there.high + 1e-12
    assert math.isclose(there.second - there.first, there.difference, abs_tol=1e-12)


def test_arms_count_every_seed_and_problem_alike() -> None:
    first = [{"a": [True, False], "b": [False]}, {"a": [False], "b": [False]}]
    second = [{"a": [True], "b": [True, False]}, {"a": [True], "b": [True]}, {"a": [True], "c": [True], "b": [False]}]
    found = arms(first, second)
    assert (found.problems, found.seeds, found.first, found.second) == (2, 2, 0.125, 0.75)
    assert found.difference == 0.625 and -1 <= found.low <= 0.625 <= found.high <= 1
    with pytest.raises(ValueError, match="no problem in common"):
        arms(first, [{"d": [True]}])


def test_one_problem_tells_no_spread() -> None:
    one, other = {"a": [False, False]}, {"a": [True, True]}
    assert (paired(one, other).low, paired(one, other).high) == (-1, 1)
    assert (arms([one], [other]).low, arms([one], [other]).high) == (-1, 1)


def test_few_seeds_are_not_taken_for_steadier_than_they_are() -> None:
    """Three seeds at 40, 50 and 60%, on problems that do not differ: their mean has a standard error of 10 / sqrt(3) points."""
    of = {right: {f"p{n}": [k < right for k in range(10)] for n in range(20)} for right in (4, 5, 6)}
    found = arms([of[5]] * 3, [of[4], of[5], of[6]])
    assert (-found.low, found.high) == pytest.approx((1.96 * 0.1 / math.sqrt(3),) * 2, rel=0.1)
    alone = arms([of[5]], [of[6]])
    assert alone.low == alone.high == pytest.approx(0.1), "an arm of one seed says nothing of seeds"


def test_an_interval_of_arms_knows_of_seeds() -> None:
    """Seeds that differ widen it: what one lucky seed gave is no gain."""
    problems = [f"p{n}" for n in range(300)]
    half = {problem: [n % 2 == 0] for n, problem in enumerate(problems)}
    lucky, unlucky = ({problem: [right] for problem in problems} for right in (True, False))
    steady = arms([half, half, half], [half, half, half])
    shaky = arms([half, half, half], [lucky, lucky, unlucky])
    assert steady.difference == 0 and steady.high - steady.low < 0.3
    assert shaky.low < 0 < shaky.difference and shaky.high - shaky.low > 0.6
