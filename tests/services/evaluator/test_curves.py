"""Budget curves: against brute force, against cases worked by hand, and what must hold of every curve."""

import itertools
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.evaluator import metrics
from services.evaluator.curves import _bands, budget_curve
from services.evaluator.majorities import MOST, majority_curve
from shared.contracts.report import CurvePoint
from shared.contracts.thought import Response
from tests.services.evaluator.test_report import response


def sample(problem: str, draw: int, answer: str | None, tokens: int = 10, **fields: object) -> Response:
    """The right answer is 1."""
    return response("m", problem, draw, extracted=answer, verified=answer == "1", completion_tokens=tokens, **fields)


ANSWERS = st.sampled_from(["1", "2", "3", "4", None])
DRAWS = st.lists(st.tuples(ANSWERS, st.integers(0, 600)), min_size=1, max_size=6)


@st.composite
def measured(draw: st.DrawFn) -> list[Response]:
    """Some problems with 1 to 6 samples each, of which the first problem's first is graded."""
    samples = []
    for problem, answers in enumerate(draw(st.lists(DRAWS, min_size=1, max_size=5))):
        for number, (answer, tokens) in enumerate(answers):
            error = draw(st.sampled_from([None, None, "took too long"])) if problem + number else None
            one = sample(f"p{problem}", number, answer, tokens, grading_error=error)
            samples.append(one.model_copy(update={"verified": one.verified and error is None}))
    return samples


def parts(curve: tuple[CurvePoint, ...]) -> tuple[list[CurvePoint], list[CurvePoint]]:
    return [point for point in curve if point.kind == "cut"], [point for point in curve if point.kind == "majority"]


@settings(max_examples=150)
@given(st.lists(ANSWERS, min_size=1, max_size=7))
def test_maj_at_k_is_the_mean_over_all_subsets(answers: list[str | None]) -> None:
    samples = [sample("p", draw, answer) for draw, answer in enumerate(answers)]
    expected = [
        statistics.fmean(metrics.majority_right(subset) for subset in itertools.combinations(samples, k))
        for k in range(1, len(samples) + 1)
    ]
    assert majority_curve(samples, len(samples)) == pytest.approx(expected)
    assert majority_curve(samples, len(samples) + 3)[len(samples) :] == pytest.approx([expected[-1]] * 3)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["1"], [1.0]),
        ([None, None], [0, 0]),
        (["1", "2"], [1 / 2, 1 / 2]),
        (["1", "1", "2"], [2 / 3, 2 / 3, 1]),  # of the pairs, one agrees and two are ties
        (["1", "2", "2"], [1 / 3, 1 / 3, 0]),
        (["1", None, None], [1 / 3, 2 / 3, 1]),
    ],
)
def test_maj_at_k_by_hand(answers: list[str | None], expected: list[float]) -> None:
    samples = [sample("p", draw, answer) for draw, answer in enumerate(answers)]
    assert majority_curve(samples, len(samples)) == pytest.approx(expected)


def test_hundreds_of_samples_are_exact_too() -> None:
    answers = ["1"] * 90 + ["2"] * 60 + [str(n) for n in range(3, 80)] + [None] * 73
    samples = [sample("p", draw, answer) for draw, answer in enumerate(answers)]
    curve = majority_curve(samples, MOST)
    assert curve[0] == pytest.approx(90 / 300)
    random = np.random.default_rng(0)
    drawn = [metrics.majority_right([samples[n] for n in random.choice(300, 16, replace=False)]) for _ in range(1500)]
    assert curve[15] == pytest.approx(statistics.fmean(drawn), abs=4 * statistics.stdev(drawn) / 1500**0.5)
    assert 0.9 < curve[-1] <= 1


def test_samples_graded_differently_on_one_answer_count_with_their_share() -> None:
    samples = [sample("p", draw, "x").model_copy(update={"verified": draw == 0}) for draw in range(4)]
    assert majority_curve(samples, 4) == pytest.approx([0.25] * 4)
    assert metrics.majority_right(samples) == 0.25


@settings(max_examples=60)
@given(measured())
def test_what_holds_of_every_curve(samples: list[Response]) -> None:
    curve = budget_curve(samples, 600, 0)
    counts = metrics.counts_of(samples)
    cuts, majorities = parts(curve)
    assert majorities[0].accuracy == pytest.approx(metrics.pass_at_1(counts))
    assert cuts[-1].accuracy == pytest.approx(metrics.pass_at_1(counts))
    assert cuts[-1].avg_tokens == pytest.approx(majorities[0].avg_tokens) == pytest.approx(metrics.average_tokens(samples))
    whole = [metrics.majority_right(group) for group in metrics.graded_by_problem(samples)]
    assert majorities[-1].accuracy == pytest.approx(statistics.fmean(whole))
    assert [point.k for point in majorities] == list(range(1, max(n for n, _ in counts) + 1))
    for earlier, later in itertools.pairwise(cuts):
        assert earlier.budget < later.budget and earlier.avg_tokens < later.avg_tokens
        assert earlier.accuracy <= later.accuracy
    if metrics.average_tokens(samples):
        for earlier, later in itertools.pairwise(majorities):
            assert earlier.budget < later.budget and earlier.avg_tokens < later.avg_tokens
    assert all(point.low <= point.high for point in curve)


@settings(max_examples=30)
@given(measured())
def test_each_cut_counts_what_ended_within_it(samples: list[Response]) -> None:
    for point in parts(budget_curve(samples, 600, 0))[0]:
        groups = metrics.graded_by_problem(samples)
        right = [statistics.fmean(s.verified and s.completion_tokens <= point.budget for s in group) for group in groups]
        assert point.accuracy == pytest.approx(statistics.fmean(right))
        assert point.avg_tokens == pytest.approx(statistics.fmean(min(s.completion_tokens, point.budget) for s in samples))


def test_cuts_begin_at_the_first_right_sample_and_are_shared_between_models() -> None:
    samples = [sample("p", 0, "2", 3), sample("p", 1, "1", 61), sample("p", 2, "1", 100), sample("q", 0, None, 130)]
    cuts = parts(budget_curve(samples, 512, 0))[0]
    assert [point.budget for point in cuts] == [61, 64, 80, 96, 100, 112, 128, 130]
    assert [point.accuracy for point in cuts] == pytest.approx([1 / 6] * 4 + [1 / 3] * 4)
    assert cuts[0].avg_tokens == (3 + 61 + 61 + 61) / 4


def test_right_samples_without_an_answer_cannot_vote() -> None:
    samples = [sample("p", draw, None).model_copy(update={"verified": True}) for draw in range(3)]
    assert {point.kind for point in budget_curve(samples, 10, 0)} == {"cut"}


def test_bands_are_those_of_the_normal_approximation_for_many_problems() -> None:
    random = np.random.default_rng(1)
    accuracies = (random.random((400, 3)) < [0.2, 0.5, 0.9]).astype(float)
    low, high = _bands(accuracies, 7)
    error = accuracies.std(axis=0) / 20
    assert low == pytest.approx(accuracies.mean(axis=0) - 1.96 * error, abs=0.006)
    assert high == pytest.approx(accuracies.mean(axis=0) + 1.96 * error, abs=0.006)
    again = _bands(accuracies, 7)
    assert (again[0] == low).all() and (again[1] == high).all()


def test_one_problem_tells_nothing_of_the_spread() -> None:
    assert {(point.low, point.high) for point in budget_curve([sample("p", 0, "1")], 512, 0)} == {(0, 1)}
