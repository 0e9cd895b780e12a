"""The arithmetic that a step states is checked exactly, and what is wrong is said in words."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.answers.equalities import equalities, numbers

RIGHT = [
    "5*6=30",
    "$48/2 = 24",
    "12/60 = 0.2",
    "1/3 = 0.33",
    "2/3 = 0.666...",
    "10/3 ≈ 3.3",
    "3(4 + 5) = 27",
    "-3 + 5 = 2",
    "7 / 2 = 3 1/2",
    "7 / 2 = 3 and 1/2.",
    "20% of 50 = 10",
    "30/50 = 60%",
    "30 / 50 * 100 = 60%",
    "5² + 1 = 26",
    "2^3 = 8 and 2**3 = 8",
    "1,200 + 300 = 1,500",
    r"\frac{1}{2} \times 10 = 5",
    r"4\dfrac{5}{8} = 4 + \dfrac{5}{8} = \dfrac{37}{8}",
    r"90^3 = 729,\!000",
    "5km + 3 km = 8km",
    r"\(6 \cdot 7 = \boxed{42}\)",
    "5 apples x 6 = 30 apples",
    "In 5 days he earns = 5 * 20 = 100 dollars",
    "48 / 2 = <<48/2=24>>24 clips",
    "6 divided by 2 is equal to 3",
    "24 = 2 * 12",
]
WRONG = [
    ("27 - 21 = 4", "27 - 21 = 6, not 4"),
    ("Step 1: Tom loses 21, so 27 - 21 = 4 pens.", "27 - 21 = 6, not 4"),
    ("5x6 = 31 apples", "5x6 = 30, not 31"),
    ("3 + 4 = 7 = 8", "7 is not 8"),
    ("2 × 3 × 4 = 6 × 4 = 25", "6 × 4 = 24, not 25"),
    ("5 * 6 = 28 + 1", "5 * 6 = 30, but 28 + 1 = 29"),
    ("24 = 5 * 5", "5 * 5 = 25, not 24"),
    ("1,200 + 300 = 1,600", "1,200 + 300 = 1,500, not 1,600"),
    ("$48/2 = $25", "$48/2 = $24, not $25"),
    ("$27 - 21 = 4$", "27 - 21 = 6, not 4"),
    ("0.25 * 3 = 0.85", "0.25 * 3 = 0.75, not 0.85"),
    ("1/3 = 0.34", "1/3 = 0.33, not 0.34"),
    ("7 / 2 = 3", "7 / 2 = 3.5, not 3"),
    ("3 - 5 = 2", "3 - 5 = -2, not 2"),
    ("30/50 = 70%", "30/50 = 60%, not 70%"),
    (r"\frac{1}{2} + \frac{1}{3} = \frac{2}{5}", "(1/2) + (1/3) = 5/6, not 2/5"),
    ("48 / 2 = <<48/2=23>>23 clips", "48 / 2 = 24, not 23"),
    ("So the total is (3 + 4 = 8).", "3 + 4 = 7, not 8"),
    ("2 * 1 hour = 130 minutes", "2 * 1 = 2, not 130"),
    ("10 − 4 = 5", "10 − 4 = 6, not 5"),
    ("1. 27 - 21 = 4", "27 - 21 = 6, not 4"),
    ("**3 * 4 = 13**", "3 * 4 = 12, not 13"),
]
SKIPPED = [
    "There are 5 apples.",
    "2x + 3 = 7",
    "x * 5 = 31",
    "5 * x = 31",
    "f(3) = 9",
    "sqrt(16) + 1 = 5",
    "twice 5 + 3 = 13",
    "the average of 4 + 8 = 6",
    "60 minutes = 1 hour",
    "2 * 1 hour = 120 minutes",
    "$1.50 * 4 = 600 cents",
    "1 hour + 30 minutes = 90 minutes",
    "7 / 2 = 3 remainder 1",
    "7/2 = 3 R 1",
    "100 + 20% = 120",
    "12:30 + 2 = 14",
    "1, 2, 3 = 6",
    "10 / 0 = 5",
    "3x-5 = 16",
    "2x - 230 = 450",
    "2m+55 = 215",
    "2(4x-7) = 8x-14",
    "(2*x)-3 = 15",
    "3 / 1/4 = 12",
    "3/8 is equal to $375",
    "2/3 = 0.66",
    "5 * 6 = 30 + 2 = 32",
    "3/3 - 2/3 = 1/3 of $150",
    "(2/5)*500cm^3 = 200cm^3",
    "100 stickers / 3 = 33 stickers each, with 1 remaining",
    "100 + (100 * (10/100) = 110",
    r"\frac{1}{3}Bh = \frac{1}{3}(30)(6.5)",
    r"1/3 = 0.\overline{3}",
    "Adding 4 gives -8 = -8",
    "13,2000 / 60 = 220",
    "0900 - 0130 = 0730",
    "12 x 1 and 1/4 = 15",
    "3 * 4! = 72",
    "9^9^9 = 5",
    "5 + = 7",
    "x <= 5 and y >= 3",
    "= = =",
    "(1 + " * 300 + "1" + ")" * 300 + " = 2",
    "-" * 3000 + "1 = 2",
]


@pytest.mark.parametrize("step", RIGHT)
def test_right_sums(step):
    found = equalities(step)
    assert found and all(one.holds for one in found), found


@pytest.mark.parametrize(("step", "words"), WRONG)
def test_wrong_sums_are_named_with_the_right_value(step, words):
    assert [one.words for one in equalities(step) if not one.holds] == [words]


@pytest.mark.parametrize("step", SKIPPED)
def test_what_cannot_be_read_for_sure_is_no_error(step):
    assert [one for one in equalities(step) if not one.holds] == []


def test_numbers_of_a_step_without_its_own_number():
    assert numbers("Step 7: 1,200 pens at $2.50") == {Fraction(1200), Fraction("2.5")}


@st.composite
def expressions(draw, depth=3):
    """A random expression as text, its exact value, and whether it is an atom."""
    if depth == 0 or draw(st.booleans()):
        value = draw(st.integers(0, 9999))
        return (f"{value:,}" if draw(st.booleans()) else str(value)), Fraction(value), True
    (left, a, left_atom), (right, b, right_atom) = draw(expressions(depth - 1)), draw(expressions(depth - 1))
    operator = draw(st.sampled_from("+-*/x×÷"))
    value = a + b if operator == "+" else a - b if operator == "-" else a * b if operator in "*x×" else (a / b if b else None)
    if value is None:
        return left, a, left_atom
    left, right = (side if atom else f"({side})" for side, atom in ((left, left_atom), (right, right_atom)))
    # brackets touch nothing but operators; x needs its spaces
    return f"{left} {operator} {right}", value, False


def written(value: Fraction) -> str:
    """A value as a model would state it: a whole number, or two decimals."""
    return str(value) if value.denominator == 1 else decimals(value)


def decimals(value: Fraction) -> str:
    """Two decimals, not by way of a float: that has no cents beyond 10^13."""
    whole, cents = divmod(abs(round(value * 100)), 100)
    return f"{'-' if value < 0 else ''}{whole}.{cents:02}"


@given(expressions(), st.sampled_from(["Step 2: So {} = {}.", "{} = {}", "They get {} = {} pens in all.", "{}={}"]))
def test_every_true_equality_passes(expression, sentence):
    text, value, atom = expression
    found = equalities(sentence.format(text, written(value)))
    assert all(one.holds for one in found)
    assert atom or len(found) == 1


@given(expressions(), st.integers(-50, 50).filter(bool))
def test_every_perturbed_equality_is_caught_with_the_right_value(expression, off):
    text, value, atom = expression
    if atom:
        return
    step = Fraction(1) if value.denominator == 1 else Fraction(1, 100)
    wrong = written(value) if value.denominator == 1 else written(round(value, 2))
    stated = Fraction(wrong) + off * step
    if value.denominator != 1 and 0 <= abs(value) - abs(stated) < step:
        return  # cut off, not rounded: let pass
    if abs(value - stated) * 2 <= step:
        return  # rounded the other way from the middle: let pass
    [one] = equalities(f"Step 1: {text} = {written(stated) if value.denominator == 1 else decimals(stated)}")
    assert not one.holds
    assert Fraction(one.words.rpartition(" = ")[2].partition(", not ")[0]) == pytest.approx(value, abs=0.00501)


@given(st.text(alphabet="0123456789+-*/=()[]{}<>$%^.,x \\frac×÷≈ab:!", max_size=60))
def test_no_text_breaks_the_reader(text):
    for one in equalities(text):
        assert one.left and one.right
