"""Which grader graded."""

import pytest

from shared.answers.version import GRADER, code

BEFORE = '"""Says two."""\n\ndef two(x):\n    return x + 1\n'


@pytest.mark.parametrize(
    ("after", "same"),
    [
        ("def two(x):\n    # a comment\n    return (x\n            + 1)\n", True),
        ('"""Other words."""\ndef two(x):\n    """Adds."""\n    return x + 1\n', True),
        ("def two(x):\n    return x + 2\n", False),
        ('def two(x):\n    return "x" + 1\n', False),
    ],
)
def test_a_grader_is_another_one_where_its_code_is(after: str, same: bool) -> None:
    assert (code(after) == code(BEFORE)) is same


def test_a_grader_says_what_decides_where_it_does_not() -> None:
    assert GRADER.startswith("answers@") and "math-verify" in GRADER
