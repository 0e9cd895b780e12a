"""Kinds of answers, as publishers write them."""

import pytest

from shared.answers.kinds import kind_of


@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        ("integer", ["72", "-4", "$1{,}000", r"10,\!080", r"75^\circ", r"12\%", "3.", r"8 \mbox{ inches}^2", r"\frac{4}{2}"]),
        ("decimal", ["0.15", ".35625", "-2.50", "$3.99", "1.5 million"]),
        ("fraction", [r"\frac{3}{4}", r"1\frac{4}{5}", r"\frac 59", r"\dfrac{33}{100}", "3/4", r"-\frac{24}{25}"]),
        ("interval", ["(3,4]", r"(-\infty, 0]", r"(2,\infty)", r"(0,9) \cup (9,36)", "(2,4)", r"[\frac{1}{2}, 3]"]),
        ("choice", ["(C)", r"\text{(E)}", "B", "D."]),
        ("text", [r"\text{Evelyn}", "even", "Monday"]),
        ("expression", [r"3\sqrt{13}", "-2 + 7i", "2k+2", "204_5", "y = -2x", r"7\pi", r"3 \pm 2 \sqrt{2}"]),
        ("expression", ["(8,-2)", "-2,1", "(a+5)(b+2)", "x"]),
    ],
)  # fmt: skip
def test_kinds(kind: str, answers: list[str]) -> None:
    assert {answer: kind_of(answer) for answer in answers} == dict.fromkeys(answers, kind)
