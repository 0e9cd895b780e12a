"""What a step's line says."""

import pytest

from services.compiler.steps import equalities, number_of, sameness


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("Step 2: He has 5 * 6 = 30 pens.", ["5 * 6 = 30"]),
        ("$16 - $3 = $13, and 80,000*1.5=120,000", ["16 - 3 = 13", "80000 * 1.5 = 120000"]),
        ("12/60=0.2, 7 − 2 = 5, 4 × 3 = 12", ["12 / 60 = 0.2", "7 - 2 = 5", "4 * 3 = 12"]),
        ("5 + 6 = 11 = 3 + 8", ["5 + 6 = 11"]),
        # parts of something longer
        ("16 - 3 - 4 = 9", []),
        ("2 + 5 * 6 = 32", []),
        ("2 * 3 / 6 = 1", []),
        ("1/2 * 6 = 3", []),
        ("5 + 6 = 11 + 2", []),
        ("(3 + 4) * 2 = 14", []),
        ("$2 * 3 * $4 = $24", []),
        ("100 * 20% = 20", []),
        ("x2 * 3 = 6", []),
        ("5 / 0 = 1", []),
    ],
)
def test_equalities(text, stated):
    assert [equality.text for equality in equalities(text)] == stated


@pytest.mark.parametrize(
    ("text", "holds", "inverse"),
    [
        ("5 * 6 = 30", True, "30 / 6 = 5"),
        ("27 - 21 = 6", True, "6 + 21 = 27"),
        ("27 - 21 = 4", False, None),
        ("0.1 + 0.2 = 0.3", True, "0.3 - 0.2 = 0.1"),
        ("10 / 4 = 2.5", True, "2.5 * 4 = 10"),
        ("10 / 3 = 3.33", False, None),
        ("7 * 0 = 0", True, None),
    ],
)
def test_equalities_are_checked_exactly(text, holds, inverse):
    (equality,) = equalities(text)
    assert (equality.holds, equality.inverse) == (holds, inverse)


def test_numbers_and_sameness():
    assert number_of("Step 12: so") == 12 and number_of("step 3. so") == 3 and number_of("The answer is 3.") is None
    assert sameness("Step 2: He has  5 PENS.") == sameness("Step 3: he has 5 pens")
    assert sameness("5 * 6 = 30") != sameness("5 * 6 = 31")
