from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.answers.canonical import canonical, is_number, number_in
from shared.answers.vote import majority

EQUAL = {
    "1/2": ["0.5", ".5", "1/2", r"\frac12", r"\frac{1}{2}", r"\dfrac{1}{2}", r"\tfrac 1 2", r"\frac{-1}{-2}", "2/4", "+0.50"],
    "72": ["72", "72.", "72.0", "$72", "$72$", r"\$72", "$72.00", "72 apples", "72 cm^2", "x = 72"],
    "73": ["73", "73 %", r"73\%", r"73^\circ", r"73^{\circ}", "73°", "73 degrees"],
    "-5": ["-5", "- 5", "−5", "-$5", "$-5", r"\left(-5\right)", "-5.0"],
    "10080": ["10080", "10,080", r"10,\!080", r"10\,080", "10{,}080", "10,080 meters", "10080.00"],
    "9/5": [r"1\frac{4}{5}", "1 4/5", "1.8", r"\frac 95"],
    "270/7": [r"\frac{270}7\text{ degrees}", "270/7"],
    "864": [r"864 \mbox{ inches}^2", "864 square inches"],
    "120000": ["120000", "1.2e5", r"1.2 \times 10^5", r"1.2 \cdot 10^{5}", "120 thousand"],
    "6": [r"6\text{ m}^2", r"6\,\text{m}^3", r"6\text{ m/s}", r"6\ \mathrm{kg\cdot m/s^2}", r"6\text{ m}/\text{s}", "6 cm^2"],
    "5": [r"5\text{ L}", r"5\ \text{h}", "5 cm²"],
    "720": ["720元", r"720\text{元}", r"720\text{ 元}", "720个", "720个苹果", "720 平方米"],
    r"288\pi": [
        r"288\pi", r"288\pi \text{ in}^3", r"288\pi\ \text{cm}^3", r"288\pi\,\mathrm{cm^3}", r"288\pi\,\mathrm{cm}^{3}",
        r"288\pi \text{ units}^3", r"288\pi\text{ cubic inches}", r"288\pi cm^3", r"288\pi\text{ square}\ \text{units}.",
        r"288\pi \text{ of the cake}",
    ],
    r"2\sqrt{5}": [r"2\sqrt5\text{ m/s}", r"2\sqrt{5} units", r"2\sqrt{5}\mbox{ apples}"],
    "5x": ["5x", r"5x\text{ cm}", r"5x\text{ square feet}"],
    "27/5": [r"5.4 \text{ cents}", "5.4¢", "5.4 cents per ounce"],
    "3/4": ["3/4 of an hour", r"\frac34 \text{ of the cake}", "3 fourths", "3 quarters of an hour", "75 hundredths"],
    "5000": ["5 thousands", "5 thousand meters"],
    "40": ["40 miles to the beach", "40 minutes for Tom", "40 quarters", "40 third graders", "40 meters squared"],
    "21": ["21 (twenty-one)", "21 (cm)", r"21\text{ (cm)}", "21 (14 + 7)", "$21 ($14 + $7)", "US$21", r"US\$21"],
    "22": [r"\approx 22", "≈ 22.0", "22 (rounded)"],
    "40_9": ["40_9", "40_{9}", "(40)_9", r"40_{\text{nine}}", r"40_{\text{base }9}", "40_{(9)}", "40 base 9"],
    "41_9": ["41_9", r"41 \text{ (base 9)}", r"41\text{ base nine}"],
    "1a_{16}": ["1a_{16}", "(1a)_{16}", r"1a_{\text{sixteen}}"],
    "0": ["0", "-0", "0.00", "0/7"],
    "60": ["60 miles per hour", "60 mph", "60mph"],
    "24": ["2 dozen eggs", "24"],
    "B": ["B", "(B)", "B.", r"\text{(B)}", r"\textbf{(B)}"],
    "evelyn": ["Evelyn", r"\text{Evelyn}", "evelyn."],
    "(3,4]": ["(3,4]", "(3, 4]", r"\left( 3, 4 \right]"],
    "(3/2,-13)": [r"\left( \frac{3}{2}, -13 \right)", "(1.5, -13)"],
    "1,2": ["1,2", "1, 2", "x=1,y=2", "y = 2, x = 1", "x=1, x=2", "x = 1, 2"],
    "2,1": ["x=2,y=1", "y=1,x=2", "2,1"],
    "(1,2,3,4)": ["(x=1,y=2,z=3,w=4)", "(1,2,3,4)", "(w=4,x=1,y=2,z=3)"],
    r"\sqrt{2},3": [r"x=\sqrt2, y=3", r"y=3, x=\sqrt{2}", "√2, 3"],
    r"2\sqrt{3}": ["2√3", "2 √3", r"2\sqrt3", "2√(3)"],
    r"3\sqrt{13}": [r"3\sqrt{13}", r"3 \sqrt{13}", r"3\sqrt{ 13}".replace("{ ", "{")],
    r"\pi r^2": [r"\pi r^2", r"\pi r^{2}", r"\pi  r ^2"],
}  # fmt: skip


@pytest.mark.parametrize(("form", "spellings"), EQUAL.items())
def test_spellings_of_one_answer_have_one_form(form: str, spellings: list[str]) -> None:
    assert {spelling: canonical(spelling) for spelling in spellings} == dict.fromkeys(spellings, form)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12", "-12"), ("1,2", "12"), ("1 2", "12"), ("3", r"3\pi"), ("3", "3x"), ("6", "6xy"), ("6", "6abc"), ("6", "6 abc"),
        ("72", "72 apples and 3 pears"), ("5", "5 hours 30 minutes"), ("5", "5 if n is even"), ("12", "12 pi"), ("3", "3 million"),
        ("204", "204_5"), ("2", "2^3"), ("5", "5!"), ("1/2", "12"), ("(1,2)", "[1,2]"), ("(1,2)", "(1,2]"), ("(1,234)", "1234"),
        ("B", "C"), ("y=-2x", "y=2x"), ("0.3333", "1/3"), ("5/0", "5"), ("x=5", "x=6"), ("10^2", "102"),
        ("3", "3 hundredths"), ("3", "3 fourths"), ("3", "3 thirds"), ("5", "5 halves"), ("1", "1 third"), ("72", "72次方"),
        ("3", "3 ten-thousandths"), ("3", "3 tenths inch"), ("5", "5 squared"), ("5", "5 thousands"),
        ("3", "3 quarters of an hour"), ("3/4", "3/4 of a dozen"), ("1/2", "1/2 of a third"), ("2", "2 to the third"),
        ("2", "2 raised to the third"), ("3", "3 girls to one boy"),
        ("36", "36 m^2"), ("36", "36m^2"), ("5", "5 L"), ("2", r"2\mathrm{i}"), ("2", r"2\mathrm{e}"), ("n^2", r"n^2 \text{ even}"),
        (r"2\pi", r"2\pi\text{ million}"), (r"2\pi", r"2\pi\text{ squared}"), ("40", r"40_{\text{m}}"), ("A", r"A^\mathrm{T}"),
        (r"2\pi", r"3\text{ hours } 2\pi \text{ minutes}"), ("72", "72万"), ("72", "72倍"), ("72", "72个半"), ("10", "10多个"),
        ("5", "5 (six)"), ("5", "5 (mod 7)"), ("2", "2 (dozen)"), ("21", "21 (14 + 8)"), ("2", "2 (3 + 4)"), ("2", "2 (x)"),
        ("2", "2(1+1)"), ("5", "5 (five or six)"), ("40_9", "40_8"), ("40", "40 base 9"), ("x=2,y=1", "y=2,x=1"),
        ("3,4", "y=3,x=4"),
        (r"2\pi", r"2\pi\text{ where n is odd}"), (r"2\pi", r"2\pi\text{ undefined}"), (r"2\pi", r"2\pi\text{ or less}"),
        ("B", r"B\text{ cm}"), ("(1,2)", r"(1,2)\text{ is wrong}"), ("1,2_5", "1,2 base 5"),
        ("14", "x=14,y=3"), ("b,c", "a=b,b=c"), ("2b,3", "a=2b,b=3"), ("1,2x", "x=1,y=2x"),
        ("1,2,3,4", "x=1,y=2,x=3,y=4"), ("3,5", "3,y=5"),
        (r"2\sqrt{3}", "³√3"), (r"\sqrt{1},000", "√1,000"),
    ],
)  # fmt: skip
def test_different_answers_have_different_forms(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@given(st.text(max_size=40) | st.text(st.sampled_from("0123456789.,/-+$%\\{}()[]^_ abxyfracsqrtpi="), max_size=30))
def test_a_form_is_its_own_form(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)


@given(st.fractions(max_denominator=10**6))
def test_rationals_are_exact_however_they_are_written(value: Fraction) -> None:
    latex = rf"\frac{{{value.numerator}}}{{{value.denominator}}}"
    assert canonical(f"{value.numerator}/{value.denominator}") == canonical(latex) == str(value)
    assert is_number(canonical(latex))


@given(st.integers(-(10**15), 10**15), st.integers(0, 9999))
def test_decimals_and_thousands(whole: int, decimals: int) -> None:
    value = Fraction(f"{whole}.{decimals:04}")
    assert number_in(f"{whole}.{decimals:04}") == number_in(f"{whole:,}.{decimals:04} apples") == value


def test_huge_numbers_stay_text() -> None:
    assert number_in("1e999999999") is None
    assert canonical("9" * 5000) == "9" * 5000


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "text",
    [
        "5 a" + "/" * 300 + "!",
        "(" * 990,
        "(1,(" * 200 + "2" + "))" * 200,
        " " * 100_000,
        "1," * 499,
        "5 " + "a-" * 400 + "1",
        "\\frac" * 150,
        "5" + "\\text{ m}" * 100 + "!",
        "5\\text{m}" + "\\ " * 480 + "!",
        "5 " + "of the " * 140,
    ],
)
def test_a_text_from_a_model_caught_in_a_loop_takes_no_time(text: str) -> None:
    canonical(text)


@pytest.mark.parametrize(
    ("answers", "winners"),
    [
        ([], {}),
        ([None, None], {}),
        (["72"], {"72": 1.0}),
        (["0.5", "1/2", "3", r"\frac12", None], {"1/2": 1.0}),
        (["1", "2"], {"1": 0.5, "2": 0.5}),
        (["1", "2", "3", "3.0", "2.0", None, None, None], {"2": 0.5, "3": 0.5}),
    ],
)
def test_majority(answers: list[str | None], winners: dict[str, float]) -> None:
    assert majority(answers) == winners


@given(st.lists(st.none() | st.sampled_from(["1", "2", "0.5", "1/2", "x"]), max_size=12), st.randoms())
def test_a_vote_knows_no_order_and_shares_sum_to_one(answers: list[str | None], random) -> None:  # type: ignore[no-untyped-def]
    shares = majority(answers)
    mixed = answers.copy()
    random.shuffle(mixed)
    assert majority(mixed) == shares
    assert sum(shares.values()) == pytest.approx(1.0 if any(answer is not None for answer in answers) else 0.0)
