"""Formulas against brute force, and against cases worked by hand."""

import itertools
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.evaluator import metrics
from shared.contracts.base import Origin
from shared.contracts.thought import Response

COUNTS = st.lists(st.integers(1, 7).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=1, max_size=8)


def response(answer: str | None, right: bool = False, draw: int = 0) -> Response:
    return Response(
        id=f"m/p#{draw}", problem_id="p", question="?", answer="72", split="test", origin=Origin(run_id="r", stage="s"), text="",
        model="m", draw=draw, finish_reason="stop", extracted=answer, verified=right, prompt_tokens=1, completion_tokens=1,
    )  # fmt: skip


@given(COUNTS)
def test_pass_at_1_is_the_mean_of_problems_means(counts: list[tuple[int, int]]) -> None:
    assert metrics.pass_at_1(counts) == pytest.approx(statistics.fmean(c / n for n, c in counts))


@given(COUNTS.filter(lambda counts: len(counts) > 1))
def test_the_standard_error_is_that_of_the_problems_means(counts: list[tuple[int, int]]) -> None:
    shares = [c / n for n, c in counts]
    assert metrics.standard_error(counts) == pytest.approx(statistics.stdev(shares) / math.sqrt(len(shares)), abs=1e-12)


def test_samples_of_one_problem_are_not_independent() -> None:
    once = [(1, 1), (1, 0), (1, 1), (1, 0)]
    copied = [(10, 10), (10, 0), (10, 10), (10, 0)]
    assert metrics.standard_error(copied) == metrics.standard_error(once) > 0
    assert metrics.standard_error([(10, 5)]) == 0.5  # nothing is known of the spread between problems
    assert metrics.standard_error([(2, 2), (2, 2)]) == 0


@given(COUNTS, st.integers(1, 9))
def test_pass_at_k_is_the_share_of_draws_that_hold_a_right_sample(counts: list[tuple[int, int]], k: int) -> None:
    def brute(n: int, c: int) -> float:
        draws = list(itertools.combinations([True] * c + [False] * (n - c), min(k, n)))
        return sum(any(draw) for draw in draws) / len(draws)

    assert metrics.pass_at_k(counts, k) == pytest.approx(statistics.fmean(brute(n, c) for n, c in counts))


@given(COUNTS)
def test_pass_at_k_begins_at_pass_at_1_and_never_falls(counts: list[tuple[int, int]]) -> None:
    values = [metrics.pass_at_k(counts, k) for k in range(1, 9)]
    assert values[0] == pytest.approx(metrics.pass_at_1(counts))
    assert all(later >= earlier - 1e-12 for earlier, later in itertools.pairwise(values))


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([("72", True)], 1.0),
        ([("71", False)], 0.0),
        ([(None, False)], 0.0),
        ([("72", True), ("71", False)], 0.5),
        ([("72", True), ("71", False), ("70", False)], 1 / 3),
        ([("72.0", True), ("$72", True), ("71", False), ("71", False), ("70", False)], 0.5),
        ([("72", True), ("71", False), ("71", False)], 0.0),
        ([("72", True), (None, False), (None, False), (None, False)], 1.0),
    ],
)
def test_majority_right_draws_ties_evenly(answers: list[tuple[str | None, bool]], expected: float) -> None:
    assert metrics.majority_right([response(*answer) for answer in answers]) == pytest.approx(expected)


@given(st.lists(st.sampled_from(["72", "71", "70", None]), min_size=1, max_size=7))
def test_majority_right_is_the_expectation_over_fair_tie_breaks(answers: list[str | None]) -> None:
    votes = [answer for answer in answers if answer is not None]
    most = max((votes.count(answer) for answer in votes), default=0)
    winners = {answer for answer in votes if votes.count(answer) == most}
    expected = ("72" in winners) / len(winners) if winners else 0.0
    assert metrics.majority_right([response(answer, answer == "72") for answer in answers]) == pytest.approx(expected)


def test_keywords_are_words_of_their_own() -> None:
    texts = ["Wait, no.", "The waiter waits.", "... wait!", ""]
    assert metrics.keyword_rates(texts, ["wait", "Alternatively"]) == {"wait": 0.5, "Alternatively": 0.0}


def test_keywords_of_a_script_without_spaces_are_found_within_a_sentence() -> None:
    texts = ["等等让我检查一下", "好的，等等，我再想想", "我们等一下"]
    assert metrics.keyword_rates(texts, ["等等", "等", "不"]) == {"等等": pytest.approx(2 / 3), "等": 1.0, "不": 0.0}
