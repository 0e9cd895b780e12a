"""Lengths, ranges, assumptions, sizes and throughput."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.contracts.problem import LabelledStep, Problem, Proposal, StepLabel
from shared.pricing.assumptions import BadAssumption, assumed
from shared.pricing.lengths import measure, tokens
from shared.pricing.ranges import Range, between, ranged
from shared.pricing.speed import DEVICES, BadSpeed, parameters, size_in, sizes, throughput

FIGURES = st.floats(0, 1e9)
RANGES = st.lists(FIGURES, min_size=3, max_size=3).map(sorted).map(lambda three: between(*three))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("Step 1: 6 * 2 = 12 crayons.", 15),  # Step, space, 1, :, space, 6, *, space, 2, =, space, 1, 2, crayons, .
        ("a\nb", 3),
        ("incomprehensible", 2),
        (r"\frac{1}{2}", 8),
    ],
)
def test_tokens(text: str, count: int) -> None:
    assert tokens(text) == count


def test_a_set_is_measured_by_its_first_problems() -> None:
    wrong = Proposal(text="no", label=StepLabel.INCORRECT)
    steps = (
        LabelledStep(text="yes", label=StepLabel.CORRECT, alternatives=(wrong, wrong)),
        LabelledStep(text="end", label=StepLabel.NONE),
    )
    found = measure(
        [
            Problem(id="1", question="a b", answer="1", solution="a\nb\n\nc"),
            Problem(id="2", question="a b c d", answer="1", steps=steps),
        ],
        count=900,
    )
    assert (found.count, found.read, found.question, found.steps, found.labelled) == (900, 2, 3, 3, 4)
    assert found.solution == 6  # three words, three line breaks
    assert measure([Problem(id="1", question="a", answer="1")], 1).solution is None


@given(RANGES, RANGES)
def test_sums_and_products_stay_in_order(one: Range, other: Range) -> None:
    for found in (one + other, one * other, one.at_most(other), one.up()):
        assert found.low <= found.expected <= found.high


def test_a_range_rises() -> None:
    with pytest.raises(ValidationError, match="must rise"):
        Range(low=2, expected=1, high=3)
    assert ranged(7 * (1 / 7)).up() == ranged(1)
    assert (ranged(3) * (1 / 32)).up() == ranged(1)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("smollm2-135m-instruct", 135e6),
        ("Qwen/Qwen2.5-72B-Instruct", 72e9),
        ("deepseek-ai/deepseek-math-7b-base", 7e9),
        ("peiyi9979/math-shepherd-mistral-7b-prm", 7e9),
        ("Qwen/Qwen2.5-Math-1.5B-Instruct", 1.5e9),
        ("mistralai/Mixtral-8x7B-v0.1", 56e9),
        ("gpt-4o-mini", None),
        ("/models/7b/mine", None),
        ("o1-mini", None),
    ],
)
def test_a_name_tells_the_size(name: str, size: float | None) -> None:
    assert size_in(name) == size


def test_sizes() -> None:
    found = sizes({"base": "a-7b", "mine": "/some/folder", "big": "b-7b"}, {"big": "72b"})
    assert found["base"] == (7e9, "by its name")
    assert found["mine"] == (7e9, "assumed: its name tells none")
    assert found["big"] == (72e9, "as given")


def test_throughput_is_that_of_a_model_of_7b() -> None:
    found = throughput("h100", "engine=700@135m,train=9000")
    assert found.engine == pytest.approx(700 * 135e6 / 7e9)
    assert found.train == 9000
    assert found.prompt == DEVICES["h100"].prompt
    assert found.source.startswith("engine and train as given; prompt: not measured")
    # 40% of 989 TFLOP/s, 6 x 7e9 operations a token
    assert DEVICES["h100"].train == pytest.approx(0.4 * 989e12 / 42e9, rel=0.001)


@pytest.mark.parametrize(
    ("device", "given", "words"),
    [
        ("tpu", "", "no device `tpu`"),
        ("cpu", "speed=3", "speed=3: expected one of engine, prompt, train"),
        ("cpu", "engine", "engine: expected one of"),
        ("cpu", "engine=fast", "above 0 (got fast)"),
        ("cpu", "engine=0", "above 0 (got 0)"),
        ("cpu", "engine=nan", "above 0 (got nan)"),
        ("cpu", "engine=3@big", "big: expected a number of parameters"),
    ],
)
def test_a_bad_throughput_is_named(device: str, given: str, words: str) -> None:
    with pytest.raises(BadSpeed) as caught:
        throughput(device, given)
    assert words in str(caught.value)


def test_a_size_of_nobody_is_refused() -> None:
    with pytest.raises(BadSpeed, match="the recipe has no such model"):
        sizes({"base": "a"}, {"bass": "7b"})
    with pytest.raises(BadSpeed, match="expected a number of parameters"):
        parameters("-3")


def test_assumptions_are_set() -> None:
    found = assumed({"verified": "0.3", "checks": "1:2:3"})
    assert found.verified == ranged(0.3)
    assert found.checks == Range(low=1, expected=2, high=3)
    assert found.solved == assumed({}).solved


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("veryfied", "1", "no such assumption"),
        ("verified", "most", "expected a number"),
        ("verified", "1:2", "expected a number"),
        ("verified", "3:2:1", "must be at least 0 and rise"),
        ("verified", "-1", "must be at least 0"),
        ("verified", "nan", "must be at least 0"),
    ],
)
def test_a_bad_assumption_is_named(name: str, text: str, words: str) -> None:
    with pytest.raises(BadAssumption, match=words):
        assumed({name: text})
