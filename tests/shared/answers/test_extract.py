import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.answers.extract import final_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        # sentences
        ("Step 2: 80 - 8 = 72\nThe answer is 72.", "72"),
        ("The answer is $72.", "$72"),
        ("The answer is $72$.", "72"),
        ("the answer is: 3.5 apples. Yes.", "3.5 apples"),
        ("Answer: 72", "72"),
        ("**Answer:** 72", "72"),
        ("**Final answer: 72**", "72"),
        ("The final answer is **B**", "B"),
        ("The answer is (B).", "(B)"),
        ("The answer is -3.", "-3"),
        ("The answer is .5.", ".5"),
        (r"The answer is \(x^2\), as asked.", "x^2"),
        (r"The final answer is $\frac{1}{2}$ because the rest cancels", r"\frac{1}{2}"),
        ("The answer is 72. I hope it is correct.", "72"),
        ("The answer is 1, 2, and 3.", "1, 2, and 3"),
        ("The answer is $72 and $50.", "$72 and $50"),
        ("The answer is:\n\n72", "72"),
        ("The answer is\n$$72$$", "72"),
        ("Answer: The answer is 72.", "72"),
        ("So the answer to the question is 9.", "9"),
        ("answer = 12", "12"),
        # the last statement counts
        ("The answer is 5. Wait, the answer is 6.", "6"),
        ("The answer is 5.\nWait, let me check that.\nThe answer is 6.", "6"),
        ("The answer is 6. 27 - 21 = 6: yes, so the answer is right.", "6"),
        ("#### 5\nThe answer is 6.", "6"),
        # what is said about an answer replaces none that was stated
        ("The answer is 72. I hope this answer is helpful!", "72"),
        ("Answer: 72\n\nNote: The answer is rounded to the nearest integer.", "72"),
        ("The answer is 72.\nThis answer is reasonable since 72 > 48.", "72"),
        ("Answer: 5\nExplanation: the answer must be positive.", "5"),
        ("Answer: $x+1$\nExplanation: the answer must be positive.", "x+1"),
        ("**Answer: B**\n\nExplanation: the answer is supported by evidence.", "B"),
        ("The answer is 7.\nThe answer is consistent.\nThe answer is reasonable.", "7"),
        ("#### 72\nThe answer is rounded.", "72"),
        (r"\boxed{4}. The final answer is rounded to the nearest integer.", "4"),
        ("The answer is 2.35.\nNote: the answer is rounded to 2 decimal places.", "2.35"),
        ("The answer is 2.35. The answer is rounded to 2.", "rounded to 2"),
        ("The answer is 0.5. Wait, the answer is given by 3/4.", "given by 3/4"),
        ("The answer is consistent.", "consistent"),
        ("The answer must be positive.", "positive"),
        ("The answer is 5. The answer must be a whole number.", "5"),
        ("The answer is B. Wait, the answer should be aspirin.", "aspirin"),
        ("The answer is even.\nThe answer is reasonable.", "reasonable"),
        ("The answer is 5. Wait, the answer is undefined.", "undefined"),
        ("The answer is 5. Wait, the answer must be 6.", "6"),
        ("The answer is 5. Wait, the answer is no.", "no"),
        # words that lead to it
        ("The answer is therefore 5.", "5"),
        ("The answer is thus 5.", "5"),
        ("So the answer is actually 72.", "72"),
        ("The answer is indeed $72$ clips.", "72"),
        ("The answer is equal to 72.", "72"),
        ("The answer is therefore correct.", None),
        ("The answer is 7. The answer is therefore correct.", "7"),
        # Chinese
        ("答案是72。", "72"),
        ("所以答案为：72", "72"),
        ("最终答案：72元，因为48+24=72。", "72元"),
        ("**答案**：72", "72"),
        ("正确答案为（C）。", "（C）"),
        ("答案是3，5。", "3，5"),
        ("答案是正确的。", None),
        ("答案是否正确？", None),
        ("答案不是5。", None),
        (r"\boxed{4}。最终答案是5。", "5"),
        # GSM8K
        ("She has 18 eggs.\n#### 18", "18"),
        ("#### $1,000\n", "$1,000"),
        ("#### -3", "-3"),
        ("#### Step 2: the rest\n9 - 3 = 6", None),
        ("#### 72 dollars", "72 dollars"),
        ("#### 1,000.50", "1,000.50"),
        ("#### 3:30 p.m.", "3:30 p.m"),
        ("#### 5 - 3", "5 - 3"),
        ("#### 72.", "72"),
        # numbered headings are no answers, and hide none
        ("### Solution\n\n#### 1. Identify\nA train ...\n\n#### 2. Calculate the total distance\nWe have 60 * 3", None),
        ("#### 2. Simplify", None),
        ("#### 3) Compute the area", None),
        ("#### (3) Compute the area", None),
        ("#### 3: Compute", None),
        ("#### 3 - Compute the area", None),
        ("#### 2.1 Compute the area", None),
        ("#### 2 Verification", None),
        ("#### 2. $x$ alone", None),
        ("#### 2.计算", None),
        ("#### 2、计算", None),
        ("The answer is 72.\n\n#### 3. Verification\n48 + 24 = 72, as expected.", "72"),
        ("#### 72\n\n#### 2. Verification", "72"),
        # boxes
        (r"Thus \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{5} and then \boxed{6}", "6"),
        (r"\boxed{5} and, cut off, \boxed{6", "5"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\text{(E)}}", r"\text{(E)}"),
        (r"\boxed 5", "5"),
        (r"\fbox{7}", "7"),
        (r"The answer is $\boxed{7}$.", "7"),
        (r"\boxed{}", None),
        (r"$\boxed{2}$ and $\boxed{3}$", "2, 3"),
        ("\\[\n\\boxed{12}\n\\]\n\n\\[\n\\boxed{12}\n\\]", "12"),
        (r"$$\boxed{12}$$ $$\boxed{12.0}$$ $$\boxed{12}$$", "12"),
        ("\\boxed{(3,4)}\n\\boxed{(3, 4)}", "(3, 4)"),
        ("\\boxed{\\text{Evelyn}}\n\\boxed{\\text{Evelyn}}", r"\text{Evelyn}"),
        (r"\boxed{2}, \boxed{3}, \boxed{2}, \boxed{3}", "2, 3"),
        # nothing stated: the last number is no answer
        ("There are 5 apples and 3 pears, 8 in all", None),
        ("the answer, which is 4", None),
        ("The answer is", None),
        ("The answer is not 5.", None),
        ("", None),
    ],
)
def test_what_is_stated_is_found_and_nothing_else(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


@given(st.text(st.sampled_from("abc123{}\\$*_.# \nboxedansweris:"), max_size=80))
def test_any_text_is_read(text: str) -> None:
    found = final_answer(text)
    assert found is None or (found == found.strip() and found)


@given(st.integers(-(10**9), 10**9), st.text(st.characters(blacklist_characters="\\#"), max_size=60))
def test_a_stated_integer_is_found_after_any_text(number: int, before: str) -> None:
    assert final_answer(f"{before}\nThe answer is {number}.") == str(number)
    assert final_answer(f"{before}\n\\boxed{{{number}}} follows") == str(number)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("piece", ["\\boxed{", "The answer is ", "answer: ", "**", "$", "answer" + " " * 50, "#### 5 "])
def test_a_text_from_a_model_caught_in_a_loop_takes_no_time(piece: str) -> None:
    final_answer(piece * (40_000 // len(piece)))
