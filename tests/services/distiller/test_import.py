"""Existing data as examples: worked solutions in numbered steps, chats as they are, and what is passed over."""

import json
from types import SimpleNamespace

import pytest

from services.distiller.solutions import Unusable, worked_solution
from services.distiller.tasks import import_examples
from shared.answers.extract import final_answer
from shared.contracts.base import Origin
from shared.contracts.problem import Problem
from shared.contracts.stages import ImportStage
from shared.contracts.thought import Example
from shared.problems.formats import parse_row
from shared.problems.generate import generate
from shared.work.registry import Hopeless

GSM8K = {
    "question": "Lee packs 1,200 nails, then half as many screws. How many pieces is that?",
    "answer": "Lee packs 1,200/2 = <<1200/2=600>>600 screws.\nThat is 1200+600 = <<1200+600=1800>>1,800 pieces.\n#### 1,800",
}
MATH = {
    "problem": "What is half of $\\frac{3}{2}$?",
    "solution": "Half of $\\frac{3}{2}$ is\n\\[\\frac{3}{4}.\\]So it is $\\boxed{\\frac{3}{4}}$.",
    "answer": "\\frac{3}{4}",
}


async def test_gsm8k_becomes_numbered_steps():
    assert await worked_solution(parse_row(GSM8K, 1)) == (
        "Step 1: Lee packs 1,200/2 = 600 screws.\nStep 2: That is 1200+600 = 1,800 pieces.\nThe answer is 1800."
    )


async def test_math_stays_prose_and_gets_its_last_line():
    problem = parse_row(MATH, 1)
    assert await worked_solution(problem) == f"{MATH['solution']}\nThe answer is \\frac{{3}}{{4}}."


async def test_the_generators_solutions_are_in_the_format_already():
    for problem in generate("arithmetic", seed=3, skip=0, count=20):
        assert await worked_solution(problem) == problem.solution


@pytest.mark.parametrize(
    ("solution", "completion"),
    [
        ("1. Add 2 + 3 = 5.\n\n2) Double: 5 * 2 = 10.\nSo the answer is 10", "Step 1: Add 2 + 3 = 5.\nStep 2: Double: 5 * 2 = 10."),
        ("step 4: 2 + 3 = 5\nStep 9. 5 * 2 = 10\n#### 10", "Step 1: 2 + 3 = 5\nStep 2: 5 * 2 = 10"),
        ("2.5 * 4 = 10", "Step 1: 2.5 * 4 = 10"),
        ("Answer: 10", None),
    ],
)
async def test_other_lines_are_numbered_anew(solution, completion):
    text = await worked_solution(Problem(id="p", question="?", answer="10", solution=solution))
    assert text == "\n".join(filter(None, [completion, "The answer is 10."])) and final_answer(text) == "10"


@pytest.mark.parametrize(
    ("solution", "reason"), [(None, "no solution"), (" ", "no solution"), ("It is 9.\n#### 9", "another answer")]
)
async def test_what_gives_no_sample(solution, reason):
    with pytest.raises(Unusable, match=reason):
        await worked_solution(Problem(id="p", question="?", answer="10", solution=solution))


def work_of(problems, form, whole=None):
    async def found():
        return problems

    async def asked(name):
        return name, whole or len(problems)

    stage, origin = ImportStage(problems="train", format=form), Origin(run_id="r1", stage="sft")
    return SimpleNamespace(
        stage=stage, problems=found, asked=asked, origin=lambda: origin, lease=SimpleNamespace(run_id="r1", stage="sft")
    )


async def test_the_handler_counts_what_it_passes_over():
    problems = [parse_row(GSM8K, 1), Problem(id="bare", question="?", answer="1"), Problem(id="naked", question="?", answer="2")]
    result = await import_examples(work_of(problems, "solutions"))
    (record,) = result.records
    assert (record.kind, record.key) == ("example", problems[0].id)
    assert result.summary == {"examples": 1, "passed_over": {"no solution": 2}}
    user, assistant = Example.model_validate(record.body).messages("INSTRUCTION")
    assert user.content == "INSTRUCTION" and assistant.content.endswith("The answer is 1800.")


async def test_chats_are_imported_word_for_word():
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "What is 5 * 6?"},
        {"role": "assistant", "content": "30, for 5 * 6 = 30.\nThe answer is 30."},
    ]
    result = await import_examples(work_of([parse_row({"messages": turns}, 1), parse_row(GSM8K, 2)], "messages"))
    (record,) = result.records
    messages = Example.model_validate(record.body).messages("not used")
    assert [message.model_dump() for message in messages] == turns
    assert result.summary["passed_over"] == {"no chat: the problem was not added as a row of `messages`": 1}


@pytest.mark.parametrize(
    ("rows", "form", "reasons"),
    [
        ([{"role": "user", "content": "Hello"}], "messages", "2: its `messages` do not end with an assistant's turn"),
        (None, "messages", "2: no chat: the problem was not added as a row of `messages`"),
        (None, "solutions", "2: no solution"),
    ],
    ids=["no assistant's turn", "no chat", "no solution"],
)
async def test_a_source_of_which_nothing_can_be_learned_is_hopeless_and_says_why(rows, form, reasons):
    metadata = {} if rows is None else {"messages": json.dumps(rows)}
    problems = [Problem(id=str(n), question="?", answer="1", metadata=metadata) for n in range(2)]
    work = work_of(problems, form)
    with pytest.raises(Hopeless) as caught:
        await import_examples(work)
    assert str(caught.value) == f"stages.sft: none of the 2 problems of `train` holds what becomes an example: {reasons}"
    result = await import_examples(work_of(problems, form, whole=4))
    assert (result.records, result.summary["examples"]) == ([], 0), "another part of it may hold some"
