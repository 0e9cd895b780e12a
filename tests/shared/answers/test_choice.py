r"""Which choice a text states: letters in every dress, texts, and what names none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.answers.choice import choice_of
from shared.contracts.grading import LETTERS

DRUGS = ("Ampicillin", "A beta blocker", "Aspirin", "Vitamin C", "None of the above")
NUMBERS = ("0.5", "2", r"$\frac{3}{4}$", "1,000")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        # boxes
        (r"Step 1: it is safe.\n\boxed{B}", "B"),
        (r"\boxed{(B)}", "B"),
        (r"\boxed{\text{B}}", "B"),
        (r"\boxed{\textbf{(B)}}", "B"),
        (r"\boxed{\text{B. A beta blocker}}", "B"),
        (r"\boxed{B) A beta blocker}", "B"),
        (r"\boxed{\mathrm{C}}", "C"),
        (r"$\boxed{c}$", "C"),
        (r"\boxed{\text{Aspirin}}", "C"),
        (r"\boxed{A} and then \boxed{D}", "D"),
        (r"\boxed{B}. Option C is the best choice for others.", "B"),
        (r"\boxed{\text{(C)} Aspirin}", "C"),
        (r"\boxed{C\ \text{Aspirin}}", "C"),
        (r"\boxed{\text{Aspirin (C)}}", "C"),
        ("\\boxed{B}\n\n\\boxed{B}", "B"),
        # sentences
        ("The answer is (B).", "B"),
        ("The answer is B.", "B"),
        ("The answer is B", "B"),
        ("The answer is **B**.", "B"),
        ("**The answer is (D) Vitamin C.**", "D"),
        ("The answer is option C.", "C"),
        ("The answer is: C", "C"),
        ("The answer is C, because it thins the blood.", "C"),
        ("The answer is B, not C.", "B"),
        ("The answer is B. A beta blocker", "B"),
        ("The answer is D - Vitamin C", "D"),
        ("The answer is E Vitamin", None),
        ("Answer: B", "B"),
        ("**Answer:** B", "B"),
        ("Answer: (E) None of the above", "E"),
        ("Final answer: C", "C"),
        ("The final answer is $\\text{(C)}$.", "C"),
        ("The answer is:\n\nB", "B"),
        ("the answer is b.", "B"),
        ("The correct answer is C.", "C"),
        ("The correct option is (C).", "C"),
        ("The best choice would be D, since it heals.", "D"),
        ("The correct choice: E", "E"),
        ("Option C is correct.", "C"),
        ("Therefore (D) is the correct answer.", "D"),
        ("So D is the most appropriate option here.", "D"),
        ("C is the answer.", "C"),
        ("I would choose B.", "B"),
        ("We pick (A) here", "A"),
        ("The answer is (C).\n\n#### 3. Summary\nAspirin thins blood.", "C"),
        ("The correct option is C because it thins the blood.", "C"),
        ("The correct option is C. It thins the blood.", "C"),
        ("The correct option is C. A drug that thins the blood.", "C"),
        ("I would choose B because it slows the heart.", "B"),
        ("The best choice is D as it heals.", "D"),
        ("The correct choice is A which is safe", "A"),
        ("Option C is correct because it thins", "C"),
        ("The answer is Aspirin (C).", "C"),
        ("The answer is a beta blocker (option B).", "B"),
        ("The answer is B (A beta blocker).", "B"),
        ("The answer is (C) A drug that thins blood.", "C"),
        ("Answer: C) A drug that thins blood", "C"),
        ("The answer is (D) A 24-hour urine test.", "D"),
        ("The answer is B. I hope this answer is helpful!", "B"),
        ("The answer is B.\n\nThis answer is consistent with guidelines.", "B"),
        ("**Answer: B**\n\nExplanation: the answer is supported by evidence.", "B"),
        # the choice's own text
        ("The answer is aspirin.", "C"),
        ("The answer is a beta blocker.", "B"),
        ("The answer is A beta blocker.", "B"),
        ("The answer is none of the above.", "E"),
        ("Answer: Vitamin C", "D"),
        ("The answer is “Aspirin”.", "C"),
        # nothing but a choice
        ("B", "B"),
        ("(B)", "B"),
        ("B.", "B"),
        ("B) A beta blocker", "B"),
        ("**C**", "C"),
        ("Aspirin", "C"),
        ("It thins the blood.\n\nC", "C"),
        ("It thins the blood.\n\n**(C) Aspirin**", "C"),
        # Chinese
        ("答案是B", "B"),
        ("因此，正确答案为（C）。", "C"),
        ("答案：D。", "D"),
        ("故选A。", "A"),
        # the last statement counts
        ("The answer is B. Wait. The answer is C.", "C"),
        ("Option A is correct. No: option D is correct.", "D"),
        ("The answer is B. No, wait: (C) is the correct answer.", "C"),
        ("Option A is wrong. Option B is right, too. The answer is D.", "D"),
        # two choices are none, and so is what is no choice
        ("The answer is B and C.", None),
        ("The answer is (B) or (C).", None),
        ("The answer is B, C.", None),
        (r"\boxed{A, B}", None),
        ("The answer is (C) Ampicillin.", None),
        (r"\boxed{\textbf{(C) } \text{Ampicillin}}", None),
        ("The answer is (C), A.", None),
        ("The answer is B, A is wrong", None),
        ("The answer is (B) A and (C) are right", None),
        ("The answer is Aspirin (B).", None),
        ("The answer is a statin (C).", None),
        ("The best choice is B as well as C", None),
        ("The correct option is A drug that is safe", None),
        ("The answer is B.\nThe answer is a statin.", None),
        ("The answer is B.\nThe answer is A and C.", None),
        ("The answer is F.", None),
        ("The answer is a statin.", None),
        ("The answer is A statin.", None),
        ("The answer is not B.", None),
        ("The answer is 7.", None),
        ("Ampicillin is safe, and so is aspirin.", None),
        ("A is safe in pregnancy, and B is the best treatment for others", None),
        ("A patient comes to see you.", None),
        ("I", None),
        ("It may be A\nor B, who knows", None),
        ("", None),
    ],
)
def test_drugs(text: str, letter: str | None) -> None:
    assert choice_of(text, DRUGS) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is 1/2.", "A"),
        ("The answer is .5", "A"),
        ("The answer is 50.", None),
        ("The answer is 2.", "B"),
        ("The answer is 2.0", "B"),
        (r"\boxed{0.75}", "C"),
        (r"\boxed{\frac34}", "C"),
        ("The answer is 1000.", "D"),
        ("The answer is B: 2.", "B"),
        ("The answer is D. 1,000", "D"),
        (r"\boxed{A) 0.5}", "A"),
        (r"\boxed{\textbf{(B) } 2}", "B"),
        (r"\boxed{\textbf{(B)}\ 2}", "B"),
        (r"\boxed{\textbf{(B) }2}", "B"),
        (r"\boxed{\text{(B) }2}", "B"),
        (r"\boxed{\text{B) } 2}", "B"),
        (r"\boxed{\mathrm{(B)}\ 2}", "B"),
        (r"The answer is $\textbf{(B)}\ 2$.", "B"),
        (r"The answer is \(\boxed{\text{(B) }2}\).", "B"),
        (r"\boxed{\textbf{(C) } \frac{3}{4}}", "C"),
    ],
)
def test_numbers_are_known_by_what_they_mean(text: str, letter: str | None) -> None:
    assert choice_of(text, NUMBERS) == letter


def test_a_bare_letter_is_a_letter_even_where_it_is_a_text_too() -> None:
    assert choice_of("The answer is B.", ("B", "C", "N")) == "B"
    assert choice_of("The answer is B. C", ("B", "C", "N")) == "B"
    assert choice_of("The answer is N.", ("B", "C", "N")) == "C"


def test_a_text_that_two_choices_have_names_none() -> None:
    assert choice_of("The answer is iron.", ("iron", "Iron", "tin")) is None


FORMS = (
    "The answer is {}.",
    "The answer is ({}).",
    "Answer: {}",
    r"\boxed{{{}}}",
    r"\boxed{{\text{{({})}}}}",
    "**Answer: {}**",
    "{}",
    "Option {} is correct.",
)


@given(
    st.integers(2, 26).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))), st.sampled_from(FORMS), st.text(max_size=40)
)
def test_every_letter_in_every_form_is_read_behind_any_words(which: tuple[int, int], form: str, words: str) -> None:
    count, place = which
    choices = [f"the {number}th thing" for number in range(count)]
    said = form.format(LETTERS[place])
    assert choice_of(said, choices) == LETTERS[place]
    before = words.replace("\\", "").replace("$", "")
    assert choice_of(f"{before}\n\n{said}", choices) == LETTERS[place]


@given(st.text(max_size=300), st.lists(st.text(min_size=1, max_size=20), min_size=2, max_size=6))
def test_any_text_names_one_of_the_choices_or_none(text: str, choices: list[str]) -> None:
    assert choice_of(text, choices) in (None, *LETTERS[: len(choices)])
