"""PRM800K's and MR-GSM8K's rows, good and bad, and the quirks of each."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.problem import LabelledStep, Problem, StepLabel
from shared.problems.formats import BadRow, parse_line, parse_row

C, N, W, A, X = StepLabel.CORRECT, StepLabel.NEUTRAL, StepLabel.INCORRECT, StepLabel.AFTER_ERROR, StepLabel.NONE


def completion(text: str, rating: int | None, flagged: bool | None = None) -> dict[str, Any]:
    return {"text": text, "rating": rating, "flagged": flagged}


def level(*completions: dict[str, Any], chosen: int | None = 0, human: Any = None) -> dict[str, Any]:
    return {"completions": list(completions), "human_completion": human, "chosen_completion": chosen}


def prm800k(*levels: dict[str, Any], planned: list[str] | None = None, finish: str = "solution") -> dict[str, Any]:
    return {
        "labeler": "340d89bc",
        "timestamp": "2023-01-22T04:34:27.052924",
        "generation": None if planned is None else 9,
        "is_quality_control_question": False,
        "is_initial_screening_question": False,
        "question": {
            "problem": "What is half of $6$?",
            "ground_truth_solution": None if planned is None else "It is $\\boxed{3}$.",
            "ground_truth_answer": "3",
            **({} if planned is None else {"pre_generated_steps": planned, "pre_generated_answer": "4"}),
        },
        "label": {"steps": list(levels), "total_time": 278270, "finish_reason": finish},
    }


def shape(problem: Problem) -> list[tuple[str, StepLabel, list[tuple[str, StepLabel]]]]:
    return [(step.text, step.label, [(one.text, one.label) for one in step.alternatives]) for step in problem.steps]


PLANNED = ["Half of 6 is 6 / 2.", "That is 4.\n\n# Answer\n\n4"]


def test_a_solution_of_phase_2_ends_with_the_pre_generated_step_that_is_wrong() -> None:
    last = level(completion("It is 3.", 1), completion(PLANNED[1], -1), completion("So what.", 0), chosen=None)
    problem = parse_row(prm800k(level(completion(PLANNED[0], 0)), last, planned=PLANNED, finish="found_error"), 1)
    assert (problem.question, problem.answer, problem.source) == ("What is half of $6$?", "3", "prm800k")
    assert shape(problem) == [
        ("Half of 6 is 6 / 2.", N, []),
        ("That is 4. The answer is 4.", W, [("It is 3.", C), ("So what.", N)]),
    ]
    assert problem.metadata["finish_reason"] == "found_error" and problem.metadata["generation"] == 9
    assert problem.solution == "It is $\\boxed{3}$."


def test_a_solution_of_phase_1_follows_what_was_chosen_or_written() -> None:
    human = {"text": "6 / 2 = 3.", "rating": None, "source": "human", "flagged": False}
    problem = parse_row(
        prm800k(
            level(completion("a", -1), completion("b", 1), chosen=1),
            level(completion("c", -1), completion("d", None), chosen=None, human=human),
            level(completion("e", -1), completion("f", 1)),
            level(completion("g", 1), completion("h", 0, flagged=True)),
        ),
        1,
    )
    assert shape(problem) == [
        ("b", C, [("a", W)]),
        ("6 / 2 = 3.", C, [("c", W), ("d", X)]),
        ("e", W, [("f", C)]),
        ("g", A, [("h", X)]),  # behind a wrong step that was chosen all the same
    ]
    assert problem.solution is None


@pytest.mark.parametrize(
    ("levels", "texts", "left_out"),
    [
        ([], [], None),
        ([level(chosen=None)], [], None),
        ([{"completions": None, "human_completion": None, "chosen_completion": None}], [], None),
        ([level(completion("a", 1), chosen=None), level(completion("b", 1))], ["a", "b"], None),
        ([level(completion("a", 1), completion("b", 1), chosen=None), level(completion("c", 1))], ["a"], 1),
        ([level(completion("", None), completion("b", 1), chosen=1)], ["b"], None),
        ([level(chosen=None, human="by hand")], ["by hand"], None),
    ],
)
def test_rows_that_end_early_or_lack_something(levels: list[Any], texts: list[str], left_out: int | None) -> None:
    problem = parse_row(prm800k(*levels, finish="give_up"), 1)
    assert [step.text for step in problem.steps] == texts
    assert problem.metadata.get("levels_left_out") == left_out


def test_every_row_has_an_id_of_its_own() -> None:
    one, other = prm800k(level(completion("a", 1))), prm800k(level(completion("b", 1)))
    assert parse_row(one, 1).id == parse_row(copy.deepcopy(one), 9).id != parse_row(other, 1).id


MR = {
    "uuid": "67e15a37-b074-41b9-b388-0738135bfb66",
    "question": "Andy burns 10 a day. How much in 2 weeks?",
    "ground_truth_solution": "2 weeks have 14 days.\nHe burns 14*10=<<14*10=140>>140.\n#### 140",
    "ground_truth_answer": 140,
    "model_output_steps": ["Step 1:  2 weeks have <<2*6=12>>12 days.", "Step 2: 12*10=<<12*10=120>>120.", "Step 3: #### 120"],
    "model_output_answer_correctness": "wrong",
    "model_output_solution_correctness": "wrong",
    "model_output_solution_first_error_step": 2,
    "model_output_solution_first_error_reason": "A week has 7 days.",
    "question_type": "original",
}


def test_mr_gsm8k() -> None:
    problem = parse_row(MR, 1)
    assert (problem.id, problem.answer, problem.source) == (MR["uuid"], "140", "mr-gsm8k")
    assert problem.solution == "2 weeks have 14 days.\nHe burns 14*10=140.\nThe answer is 140."
    assert shape(problem) == [
        ("Step 1: 2 weeks have 12 days.", C, []),
        ("Step 2: 12*10=120.", W, []),
        ("Step 3: The answer is 120.", A, []),
    ]
    assert problem.metadata["question_type"] == "original" and "week" in str(problem.metadata)


@pytest.mark.parametrize(("stated", "answer"), [(1234567.0, "1234567"), (140.0, "140"), (2.5, "2.5"), ("1,234", "1234")])
def test_an_answer_of_mr_gsm8k_keeps_its_digits(stated: Any, answer: str) -> None:
    assert parse_row({**MR, "ground_truth_answer": stated}, 1).answer == answer


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({"model_output_solution_correctness": "correct", "model_output_solution_first_error_step": "N/A"}, [C, C, C]),
        ({"model_output_solution_first_error_step": "1"}, [W, A, A]),
        ({"model_output_solution_first_error_step": 3}, [C, C, W]),
        ({"model_output_solution_first_error_step": "N/A"}, [X, X, X]),
        ({"model_output_solution_first_error_step": None}, [X, X, X]),
    ],
)
def test_labels_of_mr_gsm8k(changes: dict[str, Any], labels: list[StepLabel]) -> None:
    assert [step.label for step in parse_row({**MR, **changes}, 1).steps] == labels


GOOD = prm800k(level(completion("a", 1), completion("b", -1)))


def changed(path: str, value: Any) -> dict[str, Any]:
    row = copy.deepcopy(GOOD)
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    here: Any = row
    for part in way:
        here = here[part]
    here[last] = value
    return row


BAD = {
    "no problem": (changed("question.problem", ""), "no `question.problem`"),
    "no answer": (changed("question.ground_truth_answer", None), "no final answer"),
    "label is text": (changed("label", "good"), "`label.steps` must be a list"),
    "steps are no list": (changed("label.steps", {}), "`label.steps` must be a list"),
    "a level is no object": (changed("label.steps.0", "a"), "`label.steps.0` must be an object"),
    "a rating of 2": (changed("label.steps.0.completions.0.rating", 2), "rating` must be -1, 0, 1 or null, not 2"),
    "a rating in words": (changed("label.steps.0.completions.1.rating", "1"), "label.steps.0.completions.1.rating"),
    "a rating that is a list": (changed("label.steps.0.completions.1.rating", [1]), "label.steps.0.completions.1.rating"),
    "true for a rating": (changed("label.steps.0.completions.1.rating", True), "not true"),
    "chosen out of reach": (changed("label.steps.0.chosen_completion", 2), "there are 2 completions"),
    "chosen in words": (changed("label.steps.0.chosen_completion", "0"), "chosen_completion"),
    "chosen without text": (changed("label.steps.0.completions.0.text", " "), "it was chosen"),
    "a NUL in a step": (changed("label.steps.0.completions.1.text", "a\0"), "NUL"),
    "mr: no question": ({**MR, "question": 3}, "no `question`"),
    "mr: steps are text": ({**MR, "model_output_steps": "Step 1"}, "must be a list of texts"),
    "mr: an empty step": ({**MR, "model_output_steps": ["a", ""]}, "none of them empty"),
    "mr: no answer": ({**MR, "ground_truth_answer": None}, "no final answer"),
    "mr: no verdict": ({**MR, "model_output_solution_correctness": "maybe"}, "must be `correct` or `wrong`, not 'maybe'"),
    "mr: an error past the end": ({**MR, "model_output_solution_first_error_step": 4}, "it must be 1 to 3, or N/A"),
    "mr: an error at 0": ({**MR, "model_output_solution_first_error_step": "0"}, "it must be 1 to 3, or N/A"),
    "ours: an unknown label": (
        {"id": "x", "question": "q", "answer": "1", "steps": [{"text": "a", "label": "good"}]},
        "`steps.0.label`",
    ),
}


@pytest.mark.parametrize(("row", "message"), BAD.values(), ids=BAD.keys())
def test_bad_rows_are_refused_by_line(row: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRow) as refused:
        parse_line(json.dumps(row), 7)
    assert refused.value.line == 7 and message in refused.value.reason


def test_our_own_rows_keep_their_steps() -> None:
    problem = parse_row(prm800k(level(completion("a", 1), completion("b", -1))), 1)
    assert parse_line(problem.model_dump_json(), 1) == problem
    assert isinstance(problem.steps[0], LabelledStep)


TEXT = st.text(max_size=6)
VALUE = st.none() | st.booleans() | st.integers(-2, 3) | TEXT | st.lists(st.integers(), max_size=2)
COMPLETION = st.fixed_dictionaries({"text": VALUE, "rating": VALUE, "flagged": VALUE}) | VALUE
LEVEL = st.fixed_dictionaries(
    {"completions": st.lists(COMPLETION, max_size=3) | VALUE, "human_completion": COMPLETION, "chosen_completion": VALUE}
)
ROW = st.fixed_dictionaries(
    {
        "question": st.fixed_dictionaries({"problem": VALUE, "ground_truth_answer": VALUE, "pre_generated_steps": VALUE}),
        "label": st.fixed_dictionaries({"steps": st.lists(LEVEL | VALUE, max_size=4) | VALUE, "finish_reason": VALUE}) | VALUE,
    }
) | st.fixed_dictionaries(
    {
        "question": VALUE,
        "ground_truth_answer": VALUE,
        "model_output_steps": st.lists(TEXT, max_size=3) | VALUE,
        "model_output_solution_correctness": st.sampled_from(["correct", "wrong", "x", None]),
        "model_output_solution_first_error_step": VALUE,
    }
)


@settings(max_examples=300)
@given(ROW)
def test_any_row_is_a_problem_or_a_bad_row(row: dict[str, Any]) -> None:
    try:
        problem = parse_row(row, 1)
    except BadRow:
        return
    assert problem.id and problem.question and problem.answer
    wrong = [step.label for step in problem.steps]
    if W in wrong:
        assert set(wrong[wrong.index(W) + 1 :]) <= {A, X}, "behind the first error nothing is called right or wrong"


@settings(max_examples=100)
@given(st.data())
def test_nothing_of_a_prm800k_tree_is_lost(data: st.DataObject) -> None:
    levels, expected = [], []
    for depth in range(data.draw(st.integers(1, 5))):
        ratings = data.draw(st.lists(st.sampled_from([-1, 0, 1, None]), min_size=1, max_size=4))
        chosen = data.draw(st.integers(0, len(ratings) - 1))
        levels.append(level(*(completion(f"{depth}.{n}", rating) for n, rating in enumerate(ratings)), chosen=chosen))
        expected.append((f"{depth}.{chosen}", {f"{depth}.{n}" for n in range(len(ratings))}))
    steps = parse_row(prm800k(*levels), 1).steps
    assert [(step.text, {step.text, *(one.text for one in step.alternatives)}) for step in steps] == expected
