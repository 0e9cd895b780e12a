"""Checks in parts: every equality that is said is true, and the parts make up the whole."""

import re
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.compiler.steps import Equality, equalities
from services.compiler.template import template
from services.compiler.traverse import Piece
from services.compiler.worked import check, refutation
from shared.answers.equalities import equalities as exactly
from shared.contracts.thought import Role


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        ("48 - 27 = 21", "21 + 20 = 41, 41 + 7 = 48"),
        ("47 + 28 = 75", "47 + 20 = 67, 67 + 8 = 75"),
        ("26 + 16 = 42", "26 + 10 = 36, 36 + 6 = 42"),
        ("40 + 20 = 60", "40 + 20 = 60"),
        ("7 + 0 = 7", "7 + 0 = 7"),
        ("32 * 6 = 192", "30 * 6 = 180, 2 * 6 = 12, 180 + 12 = 192"),
        ("6 * 32 = 192", "30 * 6 = 180, 2 * 6 = 12, 180 + 12 = 192"),
        ("111 * 3 = 333", "100 * 3 = 300, 10 * 3 = 30, 300 + 30 = 330, 1 * 3 = 3, 330 + 3 = 333"),
        ("5 * 6 = 30", "5 * 6 = 30"),
        ("45 / 9 = 5", "5 * 9 = 45"),
        ("108 / 9 = 12", "10 * 9 = 90, 2 * 9 = 18, 90 + 18 = 108"),
        ("48 - 27 = 22", None),
        ("1.5 + 1.5 = 3", None),
        ("20000 + 1 = 20001", None),
    ],
)
def test_a_right_equality(fact: str, said: str | None):
    (equality,) = equalities(fact)
    assert check(equality) == said


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            "Step 2: 48 - 23 = 29 pens.",
            "29 + 20 = 49, 49 + 3 = 52, which is not 48. 48 - 23, 38 - 13, 28 - 3, 27 - 2, 26 - 1, 25 - 0. It is 25",
        ),
        ("Step 2: 11 - 3 = 7.", "7 + 3 = 10, which is not 11. 11 - 3, 10 - 2, 9 - 1, 8 - 0. It is 8"),
        ("Step 2: 60 - 20 = 30.", "30 + 20 = 50, which is not 60. 60 - 20, 50 - 10, 40 - 0. It is 40"),
        ("Step 2: 6 - 0 = 5.", "5 + 0 = 5, which is not 6. 6 - 0. It is 6"),
        ("Step 2: 47 + 28 = 65.", "47 + 20 = 67, 67 + 8 = 75, not 65. It is 75"),
        ("Step 2: 32 * 6 = 184.", "30 * 6 = 180, 2 * 6 = 12, 180 + 12 = 192, not 184. It is 192"),
        ("Step 2: 27 / 9 = 4.", "4 * 9 = 36, which is not 27. 1 * 9 = 9, 2 * 9 = 18, 3 * 9 = 27. It is 3"),
        (
            "Step 2: 60 / 4 = 14.",
            "10 * 4 = 40, 4 * 4 = 16, 40 + 16 = 56, which is not 60. 10 * 4 = 40, 5 * 4 = 20, 40 + 20 = 60. It is 15",
        ),
        ("Step 2: 46 / 9 = 6.", "6 * 9 = 54, which is not 46"),
        ("Step 2: 45 / 9 = 5.", None),
        ("Step 2: 5 - 8 = 3.", None),
        ("Step 2: half of it is 3.", None),
        ("Step 2: 1.5 + 1.5 = 4.", None),
    ],
)
def test_a_wrong_equality(step: str, said: str | None):
    assert refutation(step) == said


small = st.integers(0, 9_999)


@given(small, st.sampled_from("+-*"), small, st.integers(-20, 20))
def test_what_is_said_is_true_and_arrives(left: int, sign: str, right: int, slip: int):
    result = {"+": left + right, "-": left - right, "*": left * right}[sign]
    said = check(Equality(str(left), sign, str(right), str(result)))
    wrong = refutation(f"{left} {sign} {right} = {result + slip}") if result + slip >= 0 else None
    for text in (said, wrong):
        found = exactly(text) if text else []
        assert all(one.holds for one in found), text
    if said is not None:
        assert Fraction(said.rpartition("= ")[2]) == (left if sign == "-" else result)
    if wrong is not None:
        assert wrong.endswith(
            f"{result} - 0. It is {result}" if sign == "-" else f"= {result}, not {result + slip}. It is {result}"
        )
        assert sign != "-" or f", which is not {left}. " in wrong
        counted = wrong.partition(". ")[2] if sign == "-" else ""
        assert {int(one) - int(other) for one, other in re.findall(r"(\d+) - (\d+)", counted)} <= {result}


@given(st.integers(1, 999), st.integers(1, 9))
def test_a_quotient_is_multiplied_out(quotient: int, divisor: int):
    said = check(Equality(str(quotient * divisor), "/", str(divisor), str(quotient)))
    assert said is None or said.endswith(f"= {quotient * divisor}")


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("5 + 3 = 8, not 9", "Check: 5 + 3 = 8, not 9."),
        ("6 * 9 = 54, which is not 45", "Check: 6 * 9 = 54, which is not 45."),
        ("3 + 10 = 13, 13 + 5 = 18, not 28. It is 18", "Check: 3 + 10 = 13, 13 + 5 = 18, not 28. It is 18."),
        ("the result should be 8", "Check: no. The result should be 8."),
        ("5 + 3 = 8", "Check: no. 5 + 3 = 8."),
        ("Tom has 5 apples, which this step ignores", "Check: no. Tom has 5 apples, which this step ignores."),
    ],
)
def test_plain_words_never_deny_a_true_reason(reason: str, said: str):
    pieces = [
        Piece(Role.WRONG_STEP, 1, "Step 1: 5 + 3 = 9."),
        Piece(Role.REFLECTION, 1, reason),
        Piece(Role.BACKTRACK, 0, "back to the start"),
    ]
    assert template(pieces, Random(0), plain=True)[1].text == f"{said} "


@given(st.integers(0, 300))
def test_varied_words_say_of_no_number_that_it_was_written_which_was_not(seed: int):
    refuted = refutation("Step 2: 45 / 9 = 6.")
    pieces = [Piece(Role.WRONG_STEP, 1, "Step 2: 45 / 9 = 6."), Piece(Role.REFLECTION, 1, refuted or "")]
    said = template(pieces, Random(seed))[1].text
    assert "6 * 9 = 54" in said and "I wrote 45" not in said and "45 is wrong" not in said
    check_of_several = Piece(Role.VERIFICATION, 1, "21 + 20 = 41, 41 + 7 = 48")
    assert "41 - 20" not in template([check_of_several], Random(seed))[0].text
