"""What counts of a response that was made to answer: what it then stated, whatever stands above; else all of it."""

from typing import Any

import pytest

from services.evaluator.forcing import made_to_answer
from services.evaluator.sampling import sample_problem
from shared.contracts.base import Origin
from shared.contracts.problem import Problem
from tests.services.evaluator.test_forcing import END, LONG, Scripted, stage

SUM = Problem(id="p", question="What is 3 + 4?", answer="7")
LETTERS = Problem.model_validate(
    {"id": "p", "question": "What is 3 + 4?", "answer": "B", "choices": ["5", "7"], "grading": {"kind": "letter"}}
)
BOXED = r"We get \boxed{5}. Hold on, I must count again: 3 + 4 = 7"
LETTERED = r"We get \boxed{A}. Hold on, I must count again: 3 + 4 = 7"


@pytest.mark.parametrize(
    ("problem", "thought", "answer", "extracted"),
    [
        (SUM, BOXED, " 7.\n", "7"),
        (SUM, BOXED, " $\\boxed{7}$.\n", "7"),
        (SUM, BOXED, "\n7.\n", "7"),
        (SUM, BOXED, "\nThe answer is 7.\n", "7"),
        (SUM, BOXED, "\n", "5"),  # it states nothing when it is asked to: what it stated before counts
        (SUM, BOXED, " correct.\n", "5"),
        (SUM, "3 + 4 = 7", " 7.\n", "7"),
        (SUM, f"<think>\n{BOXED}", " 7.\n", "7"),
        (LETTERS, LETTERED, " B.\n", "B"),
        (LETTERS, LETTERED, " 7.\n", "B"),
        (LETTERS, LETTERED, " that option B is correct.\n", "B"),
        (LETTERS, LETTERED, " A and B.\n", None),  # it states two
        (LETTERS, LETTERED, " not clear.\n", "A"),
    ],
)
async def test_what_it_states_when_it_is_made_to_answer_counts(
    problem: Problem, thought: str, answer: str, extracted: str | None
) -> None:
    closed = "\n</think>\n" if thought.startswith("<think>") else ""
    endpoint: Any = Scripted({"": thought + LONG, f"{thought}{closed}\nThe answer is": answer})
    cut = stage(budget=len(thought), answer_tokens=50, sampling={"max_tokens": 200})
    [sample] = await sample_problem(endpoint, "base", cut, problem, Origin(run_id="r", stage="s"))
    assert (sample.forced, sample.extracted, sample.verified) == (1, extracted, extracted == problem.answer)


async def test_what_was_only_made_to_go_on_counts_as_a_whole() -> None:
    """Its last line is its own, and is read as that of any response."""
    endpoint: Any = Scripted({"": f"{BOXED}\nSo it is 7.{END}", f"{BOXED}\nWait": f", yes.\nThe answer is 7.{END}"})
    patient = stage(waits=1, budget=150, answer_tokens=9, sampling={"max_tokens": 200})
    [sample] = await sample_problem(endpoint, "base", patient, SUM, Origin(run_id="r", stage="s"))
    assert (sample.forced, sample.extracted) == (1, "5")


@pytest.mark.parametrize(
    ("text", "forced", "tokens", "budget", "end"),
    [
        ("So.\nThe answer is 7.", 1, 12, 10, "The answer is 7."),
        ("The answer is 5.\nWait\nThe answer is 7.", 2, 12, 10, "The answer is 7."),
        ("The answer is 7.", 1, 12, 10, "The answer is 7."),  # behind a marked thought
        ("So.\nThe answer is 7.", 1, 10, 10, ""),  # made to go on
        ("So.\nThe answer is 7.", 1, 12, None, ""),
        ("So.\nThe answer is 7.", 0, 12, 10, ""),
    ],
)
def test_the_end_of_one_that_was_made_to_answer(text: str, forced: int, tokens: int, budget: int | None, end: str) -> None:
    assert made_to_answer(text, forced, tokens, budget) == end
