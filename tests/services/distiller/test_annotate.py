"""Sketches expanded by a teacher: every line must survive, in order, and the answer verify."""

import pytest

from services.distiller.annotate import expanded, expansion_findings, sketch_of
from services.distiller.rewriting import annotate
from shared.contracts.problem import Problem
from shared.contracts.stages import AnnotateStage
from shared.contracts.thought import Response
from shared.problems.formats import BadRow, parse_row
from tests.services.distiller.fakes import NONSENSE, MemoryWork, said, taken, teacher_at

SKETCH = [
    "5 boxes of 6 pens: 5 + 6 = 11",
    "No, that adds boxes to pens. Each box holds 6.",
    "5 * 6 = 30 pens",
    "Check: 30 / 6 = 5 boxes",
]
ROW = {"id": "pens", "question": "How many pens are 5 boxes of 6?", "answer": "30", "sketch": SKETCH}
GOOD = (
    "Hmm, so there are 5 boxes of 6 pens. Let me add them: 5 + 6 = 11.\n"
    "Wait. No, that adds boxes to pens, and a box is not a pen. Each box holds 6 of them.\n"
    "So I should multiply. That is 5 * 6, and 5 * 6 = 30 pens.\n"
    "Let me check that, going backwards: 30 / 6 = 5 boxes. Yes, it fits.\n"
    "The answer is 30."
)
LINES = GOOD.split("\n")
STAGE = AnnotateStage(problems="train", teacher="big", retries=1)


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        (GOOD, []),
        (GOOD.replace("\n", " "), []),
        ("Let me read the problem first. What is asked? The pens.\n" + GOOD, []),
        ("\n".join([*LINES[2:4], *LINES[:2], LINES[4]]), ["a step is missing"]),  # out of order
        ("\n".join([LINES[0], *LINES[2:]]), ["a step is missing"]),  # the correction is gone
        ("\n".join([*LINES[:3], LINES[4]]), ["a step is missing"]),  # the check is gone
        (GOOD.replace("5 + 6 = 11", "5 * 6 = 30"), ["a step is missing"]),  # the mistake is mended
        (GOOD.replace("answer is 30", "answer is 31"), ["another answer"]),
        (GOOD.replace("The answer is 30.", ""), ["no final answer"]),
        ("\n".join([*SKETCH, "The answer is 30."]), ["not longer"]),
        (NONSENSE, ["a step is missing", "no final answer", "not longer"]),
        ("", ["a step is missing", "no final answer", "not longer"]),
    ],
)
async def test_what_an_expansion_must_keep(text, reasons):
    found = [finding.reason for finding in await expansion_findings("30", SKETCH, text)]
    assert list(dict.fromkeys(found)) == reasons


def test_each_sentence_goes_to_the_line_it_stands_for():
    said = expanded(SKETCH, GOOD)
    assert "5 + 6 = 11" in said[0] and "not a pen" in said[1] and "5 * 6 = 30" in said[2] and "backwards" in said[3]
    assert " ".join(" ".join(said).split()) == " ".join(GOOD.split())


async def test_a_sketch_becomes_a_verified_response(server):
    server.script = [said("\n".join([LINES[0], *LINES[2:]]))]
    problem = parse_row(ROW, 1)
    result = await annotate(MemoryWork(STAGE, teacher_at(server, lambda _: GOOD), [problem]))
    ((record,), failed) = taken(result)
    assert failed == {}
    response = Response.model_validate(record.body)
    assert (record.kind, record.key, response.id) == ("response", "pens#0", "pens#0")
    assert response.verified and response.text == GOOD and response.extracted == "30"
    assert (response.model, response.origin.prompt) == ("big", "annotate@1")
    assert result.summary == {"responses": 1, "retries": 1, "ungraded": 0}
    first, second = [body["messages"][0]["content"] for body in server.asked]
    assert all(line in first for line in SKETCH) and "rejected" not in first
    assert 'missing, changed or out of order: "No, that adds boxes to pens.' in second


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (NONSENSE, "a step is missing"),
        ("", "a step is missing"),
        (said(GOOD, "length"), "cut at max_tokens"),
        (GOOD.replace("answer is 30", "answer is 31"), "another answer"),
    ],
)
async def test_what_never_expands_well_is_passed_over(server, answer, reason):
    result = await annotate(MemoryWork(STAGE, teacher_at(server, lambda _: answer), [parse_row(ROW, 1)]))
    assert not taken(result)[0] and result.summary["passed_over"] == {reason: 1}
    assert taken(result)[1] == {reason: 1} and len(server.asked) == 2


async def test_problems_without_a_sketch_are_passed_over(server):
    result = await annotate(MemoryWork(STAGE, teacher_at(server), [Problem(id="p", question="?", answer="1")]))
    assert result.summary == {"responses": 0, "passed_over": {"no sketch": 1}} and not server.asked


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        {**ROW, "sketch": "\n".join(SKETCH) + "\n\n"},
        {**ROW, "metadata": {"by": "Ann"}},
        {"question": ROW["question"], "answer": "5 * 6 = 30\n#### 30", "sketch": SKETCH},
        {"problem": ROW["question"], "answer": "30", "sketch": SKETCH},
        {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "The answer is 30."}], "sketch": SKETCH},
    ],
)
def test_a_rows_sketch_is_kept(row):
    problem = parse_row(row, 1)
    assert sketch_of(problem) == SKETCH and problem.answer == "30"
    assert problem.metadata.get("by") == row.get("metadata", {}).get("by")


@pytest.mark.parametrize("sketch", [7, [], [""], " ", ["a", 7], {"a": "b"}])
def test_a_sketch_is_text(sketch):
    with pytest.raises(BadRow, match="`sketch` must be text, or a list of lines, and not empty"):
        parse_row({**ROW, "sketch": sketch}, 1)
