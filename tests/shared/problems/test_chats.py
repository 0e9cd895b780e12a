"""Rows of chat messages."""

import json

import pytest

from shared.problems.formats import BadRow, parse_row

USER = {"role": "user", "content": "What is 5 * 6?"}
SAID = {"role": "assistant", "content": "5 * 6 = 30\n\nThe answer is 30."}
SYSTEM = {"role": "system", "content": "Be brief."}


def test_a_chat_is_a_problem_that_keeps_its_chat() -> None:
    problem = parse_row({"messages": [SYSTEM, USER, SAID], "topic": "sums"}, 1)
    assert (problem.question, problem.answer, problem.solution, problem.source) == (USER["content"], "30", SAID["content"], "chat")
    assert json.loads(str(problem.metadata["messages"])) == [SYSTEM, USER, SAID] and problem.metadata["topic"] == "sums"
    assert problem.id == parse_row({"messages": [SYSTEM, USER, SAID]}, 9).id != parse_row({"messages": [USER, SAID]}, 1).id
    assert parse_row({"messages": [USER, {**SAID, "content": "Thirty."}], "answer": 30, "id": "x"}, 1).answer == "30"


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([USER, {"role": "assistant", "content": "I do not know."}], "no final answer"),
        ([USER], "must end with"),
        ([USER, SAID, USER], "must end with"),
        ([SYSTEM, SAID], "must end with"),
        ([{"role": "tool", "content": "x"}, USER, SAID], "list of turns"),
        ([USER, {"role": "assistant"}], "list of turns"),
        ("hello", "list of turns"),
    ],
)
def test_bad_chats_are_refused_with_their_line(messages: object, reason: str) -> None:
    with pytest.raises(BadRow, match=rf"line 7: .*{reason}"):
        parse_row({"messages": messages}, 7)
