"""Majorities: by hand, and what must hold of weights."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.answers.vote import majority

ANSWERS = st.sampled_from(["72", "72.0", "71", "$70", None])
WEIGHTS = st.floats(0, 1).map(lambda weight: round(weight, 3))
VOTES = st.lists(st.tuples(ANSWERS, WEIGHTS), max_size=9)


@pytest.mark.parametrize(
    ("answers", "weights", "won"),
    [
        ([], None, {}),
        ([None, None], None, {}),
        (["72", "$72.0", "71"], None, {"72": 1.0}),
        (["72", "71"], None, {"71": 0.5, "72": 0.5}),
        (["72", "71", "71"], [0.9, 0.3, 0.3], {"72": 1.0}),
        (["72", "71", "71"], [0.5, 0.3, 0.3], {"71": 1.0}),
        (["72", "71", "71"], [0.3, 0.1, 0.2], {"71": 0.5, "72": 0.5}),  # in floating point 0.1 + 0.2 is more
        (["72", "71"], [0.0, 1e-200], {"71": 1.0}),
        (["72", "71"], [0.0, 0.0], {}),
        ([None, "71"], [1.0, 0.1], {"71": 1.0}),
    ],
)
def test_by_hand(answers: list[str | None], weights: list[float] | None, won: dict[str, float]) -> None:
    assert majority(answers, weights) == won


def split(votes: list[tuple[str | None, float]]) -> tuple[list[str | None], list[float]]:
    return [answer for answer, _ in votes], [weight for _, weight in votes]


@given(VOTES, st.floats(0.001, 1000))
def test_equal_weights_are_no_weights(votes: list[tuple[str | None, float]], weight: float) -> None:
    answers, _ = split(votes)
    assert majority(answers, [weight] * len(answers)) == majority(answers)


@given(VOTES, st.floats(1e-6, 1e6))
def test_only_the_proportions_of_weights_matter(votes: list[tuple[str | None, float]], factor: float) -> None:
    answers, weights = split(votes)
    assert majority(answers, [factor * weight for weight in weights]) == majority(answers, weights)


@given(VOTES)
def test_a_weight_of_0_does_not_vote(votes: list[tuple[str | None, float]]) -> None:
    answers, weights = split(votes)
    there = [(answer, weight) for answer, weight in votes if weight > 0]
    assert majority(answers, weights) == majority(*split(there))


@given(VOTES, st.randoms())
def test_the_order_does_not_matter_and_the_win_is_shared_whole(votes: list[tuple[str | None, float]], random: object) -> None:
    won = majority(*split(votes))
    shuffled = sorted(votes, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert majority(*split(shuffled)) == won
    assert sum(won.values()) == pytest.approx(1) if won else all(weight == 0 or answer is None for answer, weight in votes)


def test_each_vote_has_its_weight() -> None:
    with pytest.raises(ValueError):
        majority(["72", "71"], [0.5])
