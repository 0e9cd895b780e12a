"""Solutions rewritten by a teacher: what passes, what is asked for again and told what, and what stays as it was."""

import pytest

from services.distiller import asking
from services.distiller.reformat import rewrite_findings
from services.distiller.rewriting import reformat
from shared.answers.verify import GradingError
from shared.contracts.problem import Problem
from shared.contracts.stages import ReformatStage
from shared.contracts.thought import Example
from shared.engines.client import EngineError
from shared.work.registry import Hopeless
from tests.services.distiller.fakes import NONSENSE, MemoryWork, said, taken, teacher_at
from tests.shared.engines.scripted import Reply

PENS = Problem(id="pens", question="How many pens are 5 boxes of 6?", answer="30", solution="5 * 6 = 30")
GOOD = "Step 1: Each box holds 6 pens, so 5 boxes hold 5 * 6 = 30 pens.\nThe answer is \\boxed{30}."
STAGE = ReformatStage(problems="train", teacher="big", retries=2)


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        (GOOD, []),
        (GOOD.replace("\\boxed{30}", "30"), ["no box"]),
        (GOOD.replace("boxed{30}", "boxed{31}"), ["another answer"]),
        (GOOD.replace("boxed{30}", "boxed{30"), ["no box", "another answer"]),
        ("\\boxed{30}" + " \n" * 100, ["not longer"]),
        ("", ["no box", "no final answer", "not longer"]),
        (NONSENSE, ["no box", "no final answer"]),
    ],
)
async def test_what_a_rewrite_must_be(text, reasons):
    found = [finding.reason for finding in await rewrite_findings("30", "5 boxes of 6 pens are 30", text)]
    assert found == reasons


async def reformatted(server, answers, problem=PENS, partials=None):
    work = MemoryWork(STAGE, teacher_at(server, answers if callable(answers) else lambda _: answers), [problem], partials=partials)
    return await reformat(work)


async def test_a_good_rewrite_replaces_the_solution(server):
    result = await reformatted(server, GOOD)
    ((record,), failed) = taken(result)
    assert failed == {}
    example = Example.model_validate(record.body)
    assert (record.kind, record.key, example.text) == ("example", "pens", GOOD)
    assert (example.origin.model, example.origin.prompt) == ("big", "reformat@1")
    assert result.summary == {"examples": 1, "rewritten": 1, "retries": 0, "ungraded": 0}


async def test_a_teacher_is_told_what_was_wrong(server):
    server.script = [said(GOOD.replace("\\boxed{30}", "31")), said(GOOD, "length")]
    result = await reformatted(server, GOOD)
    prompts = [body["messages"][0]["content"] for body in server.asked]
    assert "rejected" not in prompts[0] and PENS.solution in prompts[0]
    assert r"does not stand in \boxed{}" in prompts[1] and "its final answer is 31, but the known one is 30" in prompts[1]
    assert "cut off" in prompts[2] and r"\boxed{}" not in prompts[2]
    assert result.summary["rewritten"] == 1 and result.summary["retries"] == 2


@pytest.mark.parametrize(
    ("answer", "reason", "asked"),
    [
        (NONSENSE, "no box", 3),
        ("", "no box", 3),
        (GOOD.replace("boxed{30}", "boxed{31}"), "another answer", 3),
        (said(GOOD, "length"), "cut at max_tokens", 3),
        (Reply({"error": {"message": "too long"}}, 400), "the request was refused", 1),
    ],
)
async def test_else_the_original_stays_and_is_counted(server, answer, reason, asked):
    result = await reformatted(server, answer)
    example = Example.model_validate(taken(result)[0][0].body)
    assert example.text == "Step 1: 5 * 6 = 30\nThe answer is 30."
    assert example.origin.model is None and example.origin.prompt is None
    assert result.summary["kept_original"] == {reason: 1}
    assert taken(result)[1] == {reason: 1} and result.summary["rewritten"] == 0
    assert len(server.asked) == asked


async def test_what_cannot_be_graded_is_counted_apart(server, monkeypatch):
    async def hangs(gold, answer):
        raise GradingError("took more than 5 s")

    monkeypatch.setattr(asking, "verify", hangs)
    result = await reformatted(server, GOOD)
    assert result.summary["ungraded"] == 1 and result.summary["kept_original"] == {asking.UNGRADED: 1}


@pytest.mark.parametrize(
    ("solution", "reason"), [(None, "no solution"), ("It is 9.\n#### 9", "its solution states another answer")]
)
async def test_without_a_solution_nothing_is_asked(server, solution, reason):
    result = await reformatted(server, GOOD, PENS.model_copy(update={"solution": solution}))
    assert not taken(result)[0] and result.summary["passed_over"] == {reason: 1}
    assert taken(result)[1] == {reason: 1} and not server.asked


async def test_a_later_attempt_buys_no_answer_twice(server):
    partials = {}
    server.script = [said(NONSENSE), Reply({"error": "wrong key"}, 401)]
    with pytest.raises(EngineError):
        await reformatted(server, GOOD, partials=partials)
    assert len(partials) == 1
    result = await reformatted(server, GOOD, partials=partials)
    assert len(server.asked) == 3 and result.summary == {"examples": 1, "rewritten": 1, "retries": 1, "ungraded": 0}
    again = await reformatted(server, GOOD, partials=partials)
    assert len(server.asked) == 3 and again.records == result.records


async def test_an_item_of_several_problems_is_hopeless(server):
    with pytest.raises(Hopeless, match="a reformat item holds one problem, this one 2"):
        await reformat(MemoryWork(STAGE, teacher_at(server), [PENS, PENS]))
