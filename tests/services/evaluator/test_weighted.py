"""Weighted Maj@k: against brute force, against plain Maj@k, and by hand."""

import itertools
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.evaluator import metrics, weighted
from services.evaluator.curves import budget_curve
from services.evaluator.majorities import majority_curve
from services.evaluator.weighted import weighted_curve
from shared.contracts.rewards import Scoring
from shared.contracts.thought import Response
from tests.services.evaluator.test_curves import ANSWERS, parts, sample

WEIGHTS = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1).map(lambda weight: round(weight, 3)))
VOTES = st.lists(st.tuples(ANSWERS, WEIGHTS), min_size=1, max_size=7)


def voter(draw: int, answer: str | None, weight: float | None, problem: str = "p") -> Response:
    """The right answer is 1. A weight of None: it could not be scored."""
    scores, error = ((), "too long") if weight is None else ((weight,), None)
    scoring = Scoring(model="prm", scores=scores, aggregate="min", weight=weight, error=error)
    return sample(problem, draw, answer, scoring=scoring)


def voters(votes: list[tuple[str | None, float]]) -> list[Response]:
    return [voter(draw, answer, weight) for draw, (answer, weight) in enumerate(votes)]


@settings(max_examples=150)
@given(VOTES)
def test_weighted_maj_at_k_is_the_mean_over_all_subsets(votes: list[tuple[str | None, float]]) -> None:
    samples = voters(votes)
    expected = [
        statistics.fmean(metrics.weighted_right(subset) for subset in itertools.combinations(samples, k))
        for k in range(1, len(samples) + 1)
    ]
    assert weighted_curve(samples, len(samples), 0) == pytest.approx(expected)
    assert weighted_curve(samples, len(samples) + 3, 0)[len(samples) :] == pytest.approx([expected[-1]] * 3)


@given(st.lists(ANSWERS, min_size=1, max_size=7), st.floats(0.01, 1))
def test_equal_weights_give_plain_maj_at_k(answers: list[str | None], weight: float) -> None:
    samples = voters([(answer, weight) for answer in answers])
    assert weighted_curve(samples, len(samples), 0) == pytest.approx(majority_curve(samples, len(samples)))
    assert metrics.weighted_right(samples) == pytest.approx(metrics.majority_right(samples))


@given(VOTES, st.floats(0.001, 1))
def test_scaled_weights_change_nothing(votes: list[tuple[str | None, float]], factor: float) -> None:
    scaled = voters([(answer, factor * weight) for answer, weight in votes])
    assert weighted_curve(scaled, len(votes), 0) == pytest.approx(weighted_curve(voters(votes), len(votes), 0))


@given(VOTES)
def test_a_weight_of_0_is_as_silent_as_no_answer(votes: list[tuple[str | None, float]]) -> None:
    silent = voters([(answer if weight else None, weight) for answer, weight in votes])
    assert weighted_curve(silent, len(votes), 0) == pytest.approx(weighted_curve(voters(votes), len(votes), 0))


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([("1", 0.9), ("2", 0.4), ("2", 0.4)], [1 / 3, 2 / 3, 1]),  # outvoted by number, not by weight
        ([("1", 0.4), ("2", 0.9), ("1", 0.4)], [2 / 3, 1 / 3, 0]),
        ([("1", 0.3), ("2", 0.1), ("2", 0.2)], [1 / 3, 2 / 3, 1 / 2]),  # a tie, to the last digit of floating point
        ([("1", 0.0), ("1", 0.0)], [0, 0]),
        ([("1", 0.5), (None, 1.0)], [1 / 2, 1]),
    ],
)
def test_by_hand(votes: list[tuple[str | None, float]], expected: list[float]) -> None:
    assert weighted_curve(voters(votes), len(votes), 0) == pytest.approx(expected)


def many(count: int) -> list[Response]:
    random = np.random.default_rng(3)
    answers = random.choice(["1", "2", "3"], count, p=[0.4, 0.45, 0.15])
    weights = random.random(count) * np.where(answers == "1", 1.0, 0.8)
    return voters([(str(answer), float(weight)) for answer, weight in zip(answers, weights, strict=True)])


def test_where_there_are_too_many_subsets_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = many(12)
    exact = weighted_curve(samples, 12, 0)
    monkeypatch.setattr(weighted, "EXACT", 70)  # sizes 1, 2, 10, 11 and 12 are still looked at whole
    drawn = weighted_curve(samples, 12, 0)
    assert drawn == pytest.approx(exact, abs=4 * 0.5 / weighted.DRAWN**0.5)
    assert [*drawn[:2], *drawn[9:]] == [*exact[:2], *exact[9:]]
    assert (drawn[2:9] != exact[2:9]).any()
    assert (weighted_curve(samples[::-1], 12, 0) == drawn).all()  # whatever the order of reading
    assert (weighted_curve(samples, 12, 1) != drawn).any()
    other = weighted_curve([one.model_copy(update={"problem_id": "q"}) for one in samples], 12, 0)
    assert (other != drawn).any()  # problems' errors must not add up


def test_a_hundred_samples() -> None:
    samples = many(100)
    curve = weighted_curve(samples, 100, 0)
    assert curve[0] == pytest.approx(statistics.fmean(one.verified for one in samples))
    assert curve[-1] == metrics.weighted_right(samples)
    random = np.random.default_rng(0)
    drawn = [metrics.weighted_right([samples[n] for n in random.choice(100, 16, replace=False)]) for _ in range(1500)]
    assert curve[15] == pytest.approx(statistics.fmean(drawn), abs=5 * 0.5 / 1500**0.5)


def test_a_sample_without_a_weight_is_refused_where_one_is_needed() -> None:
    with pytest.raises(ValueError, match="sample m/p#0 has no weight"):
        weighted_curve([voter(0, "1", None)], 1, 0)


def test_unscored_and_ungraded_samples_have_no_part() -> None:
    graded = [voter(0, "1", 0.2), voter(1, "2", None), voter(2, "2", 0.1), voter(0, "1", None, "q")]
    hung = voter(3, "2", 0.9).model_copy(update={"grading_error": "took too long"})
    groups = metrics.with_weights(metrics.graded_by_problem([*graded, hung]))
    assert [[one.id for one in group] for group in groups] == [["m/p#0", "m/p#2"]]
    curve = budget_curve([*graded, hung], 100, 0)
    assert [(one.k, one.budget, one.accuracy) for one in curve if one.kind == "weighted"] == [(1, 100, 0.5), (2, 200, 1.0)]
    assert (curve[-1].low, curve[-1].high) == (0, 1)  # one problem tells nothing of the spread


@settings(max_examples=40)
@given(st.lists(VOTES, min_size=1, max_size=4))
def test_weights_add_points_and_change_none(problems: list[list[tuple[str | None, float]]]) -> None:
    samples = [voter(draw, *vote, f"p{n}") for n, votes in enumerate(problems) for draw, vote in enumerate(votes)]
    plain = budget_curve([one.model_copy(update={"scoring": None}) for one in samples], 600, 0)
    curve = budget_curve(samples, 600, 0)
    assert curve[: len(plain)] == plain
    more, majorities = curve[len(plain) :], parts(plain)[1]
    assert {one.kind for one in more} == {"weighted"}
    assert [(one.k, one.budget, one.avg_tokens) for one in more] == [(one.k, one.budget, one.avg_tokens) for one in majorities]
    whole = [metrics.weighted_right(group) for group in metrics.graded_by_problem(samples)]
    assert more[-1].accuracy == pytest.approx(statistics.fmean(whole))
    assert all(0 <= one.low <= one.high <= 1 for one in more)
