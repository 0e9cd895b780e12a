"""The figures of a reward, against plain counting."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.searcher import measures
from shared.contracts.base import Origin
from shared.contracts.judged import JudgedSolution, JudgedStep
from shared.contracts.problem import StepLabel
from shared.contracts.tree import SearchCost, Verdict

C, N, W, A, X = StepLabel.CORRECT, StepLabel.NEUTRAL, StepLabel.INCORRECT, StepLabel.AFTER_ERROR, StepLabel.NONE
SAYS = {"+": Verdict.CORRECT, "-": Verdict.INCORRECT, "?": Verdict.UNKNOWN}


def solution(*steps: tuple[StepLabel, str, bool]) -> JudgedSolution:
    judged = []
    for label, says, alternative in steps:
        place = len([one for one in judged if not one.alternative]) + (0 if alternative and judged else 1)
        judged.append(JudgedStep(step=place, alternative=alternative, label=label, score=None, verdict=SAYS[says], reason=None))
    return JudgedSolution(origin=Origin(run_id="r", stage="s"), problem_id="p", reward="x", steps=tuple(judged), cost=SearchCost())


def chain(labels: list[StepLabel], says: str) -> JudgedSolution:
    return solution(*((label, one, False) for label, one in zip(labels, says, strict=True)))


CASES = [
    # labels, verdicts; (found, missed, accused, passed) of steps; of solutions; first error found; right one kept
    ([C, C, C], "+++", (0, 0, 0, 3), (0, 0, 0, 1), None, 1.0),
    ([C, N, C], "+-?", (0, 0, 1, 2), (0, 0, 1, 0), None, 0.0),
    ([C, W, A], "+-+", (1, 0, 0, 1), (1, 0, 0, 0), 1.0, None),
    ([C, W, A], "++-", (0, 1, 0, 1), (1, 0, 0, 0), 0.0, None),  # called wrong, though not where it is
    ([C, W, A], "--+", (1, 0, 1, 0), (1, 0, 0, 0), 0.0, None),
    ([C, W, A], "+?+", (0, 1, 0, 1), (0, 1, 0, 0), 0.0, None),  # could not tell: not called
    ([C, X, W], "++-", (1, 0, 0, 1), (0, 0, 0, 0), None, None),  # nobody knows whether the second step is right
    ([C, W, X], "+-+", (1, 0, 0, 1), (1, 0, 0, 0), 1.0, None),
    ([C, X], "+-", (0, 0, 0, 1), (0, 0, 0, 0), None, None),
    ([X, X], "-+", (0, 0, 0, 0), (0, 0, 0, 0), None, None),
]


@pytest.mark.parametrize(("labels", "says", "steps", "solutions", "wrong", "right"), CASES)
def test_one_solution(labels, says, steps, solutions, wrong, right):
    one = [chain(labels, says)]
    for found, expected in ((measures.step_level(one), steps), (measures.solution_level(one), solutions)):
        assert (found.found, found.missed, found.accused, found.passed) == expected
    assert measures.first_error(one) == (wrong, right, None)


def test_alternatives_count_as_steps_and_not_as_part_of_the_solution():
    one = [solution((C, "+", False), (W, "-", True), (C, "-", True), (C, "+", False))]
    steps = measures.step_level(one)
    assert (steps.found, steps.missed, steps.accused, steps.passed) == (1, 0, 1, 2)
    assert measures.first_error(one) == (None, 1.0, None) and measures.solution_level(one).passed == 1


def test_both_kinds_of_solutions_give_the_harmonic_mean():
    ones = [chain([W], "-"), chain([W], "+"), chain([C], "+"), chain([C], "+")]
    assert measures.first_error(ones) == (0.5, 1.0, pytest.approx(2 / 3))
    assert measures.first_error([chain([W], "+"), chain([C], "-")]) == (0.0, 0.0, 0.0)


def test_no_figure_of_nothing():
    figures = measures.confusion([])
    assert (figures.precision, figures.recall, figures.f1, figures.macro_f1, figures.mcc) == (None,) * 5
    never = measures.confusion([(True, False), (False, False)])
    assert (never.precision, never.recall, never.f1, never.mcc) == (None, 0.0, 0.0, None)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_against_plain_counting(pairs):
    figures = measures.confusion(pairs)
    wrong, called = [w for w, _ in pairs], [c for _, c in pairs]
    hits = sum(w and c for w, c in pairs)
    assert figures.precision == (hits / sum(called) if any(called) else None)
    assert figures.recall == (hits / sum(wrong) if any(wrong) else None)
    if figures.precision and figures.recall:
        assert figures.f1 == pytest.approx(2 / (1 / figures.precision + 1 / figures.recall))
    right_hits = sum(not w and not c for w, c in pairs)
    kept, sound = len(pairs) - sum(called), len(pairs) - sum(wrong)
    if hits and right_hits:
        other = 2 / (kept / right_hits + sound / right_hits)
        assert figures.macro_f1 == pytest.approx((figures.f1 + other) / 2)
    n = len(pairs)
    mean_w, mean_c = sum(wrong) / n, sum(called) / n
    spread = math.sqrt(mean_w * (1 - mean_w) * mean_c * (1 - mean_c))
    if spread:  # Matthews' coefficient is Pearson's correlation of the two
        assert figures.mcc == pytest.approx((hits / n - mean_w * mean_c) / spread, abs=1e-9)
    else:
        assert figures.mcc is None


LABELS = st.lists(st.sampled_from([C, N]), max_size=4).flatmap(
    lambda start: st.sampled_from([start or [C], [*start, W], [*start, W, A], [*start, W, A, A]])
)


@given(
    st.lists(LABELS.flatmap(lambda labels: st.tuples(st.just(labels), st.text("+-?", min_size=len(labels), max_size=len(labels)))))
)
def test_first_errors_against_plain_search(rows):
    hits = {True: [], False: []}
    for labels, says in rows:
        wrong = W in labels
        hits[wrong].append(says.find("-") == labels.index(W) if wrong else "-" not in says)
    found = measures.first_error([chain(labels, says) for labels, says in rows])
    for figure, outcomes in zip(found, (hits[True], hits[False]), strict=False):
        assert figure == (sum(outcomes) / len(outcomes) if outcomes else None)
