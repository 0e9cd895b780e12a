"""Rejection sampling from a teacher: what is kept, when it stops, and what is not bought twice."""

from types import SimpleNamespace
from typing import Any

import pytest

from services.distiller import sample as sampling
from services.distiller.tasks import distill
from shared.answers.verify import GradingError
from shared.contracts.base import Origin
from shared.contracts.problem import Problem
from shared.contracts.stages import DistillStage
from shared.contracts.thought import Response
from shared.engines.client import Choice, Completion, EndpointUnreachable
from shared.work.registry import Hopeless
from tests.services.distiller.fakes import said, teacher_at
from tests.shared.engines.scripted import Reply, chat

PROBLEM = Problem(id="pens", question="How many pens are 5 boxes of 6?", answer="30")
RIGHT = Choice("5 * 6 = 30\nThe answer is 30.", (1, 2, 3), "stop")
WRONG = Choice("The answer is 11.", (), "stop")
CUT = Choice("5 * 6 = 30\nThe answer is 30. Now let me", (), "length")
MUTE = Choice("I am not sure.", (), "stop", reasoning="Hmm.")
THOUGHT = Choice("The answer is 30.", (), "stop", reasoning="Wait, 5 * 6 is 30.")


class Teacher:
    """Hands out the scripted choices; an error among them is raised when its turn comes."""

    uri = "fake://teacher"

    def __init__(self, *choices):
        self.asked = []
        self._choices = list(choices)

    async def chat(self, messages, *, n=1, sampling, stop=()):
        self.asked.append(n)
        assert PROBLEM.question in messages[0].content
        taken, self._choices = self._choices[:n], self._choices[n:]
        for choice in taken:
            if isinstance(choice, Exception):
                raise choice
        return Completion(tuple(taken), 10 * n, 20 * n)


def work_of(teacher, partials=None, problems=(PROBLEM,), **stage):
    partials = {} if partials is None else partials

    async def endpoint(role):
        assert role == "teacher"
        return teacher

    async def found():
        return list(problems)

    async def save(seq, body):
        assert seq not in partials
        partials[seq] = body

    async def saved():
        return [partials[seq] for seq in sorted(partials)]

    def origin(model=None, prompt=None):
        return Origin(run_id="r1", stage="distill", model=model, prompt=prompt)

    return SimpleNamespace(
        stage=DistillStage(problems="train", teacher="big", **stage),
        lease=SimpleNamespace(item_id="r1/distill/000000", key="000000"),
        works_in_rounds=lambda: None,
        problems=found,
        endpoint=endpoint,
        save=save,
        saved=saved,
        origin=origin,
    )


def responses_of(result):
    *responses, tally = result.records
    assert [record.kind for record in responses] == ["response"] * len(responses)
    found = [Response.model_validate(record.body) for record in responses]
    assert (tally.kind, tally.body) == ("tally", {"samples": len(found), "accepted": sum(one.verified for one in found)})
    return found


async def test_every_sample_is_kept_with_its_verdict():
    teacher = Teacher(RIGHT, WRONG, CUT, MUTE, THOUGHT)
    result = await distill(work_of(teacher, samples=5))
    responses = responses_of(result)
    assert teacher.asked == [5]
    assert [record.key for record in result.records[:-1]] == [f"pens#{draw}" for draw in range(5)]
    assert [response.verified for response in responses] == [True, False, False, False, True]
    assert [response.extracted for response in responses] == ["30", "11", "30", None, "30"]
    assert responses[4].completion == "Wait, 5 * 6 is 30.\n\nThe answer is 30."
    assert (responses[0].completion_tokens, responses[1].completion_tokens, responses[1].prompt_tokens) == (3, 20, 10)
    assert result.summary == {"samples": 5, "verified": 2, "truncated": 1, "ungraded": 0}
    assert responses[0].origin.prompt == "solve@1" and responses[0].origin.model == responses[0].model == "fake://teacher"


@pytest.mark.parametrize(
    ("choices", "samples", "accept", "asked"),
    [
        ([RIGHT] * 8, 8, 1, [1]),
        ([WRONG, RIGHT, RIGHT], 8, 2, [2, 1]),
        ([CUT] * 4, 4, 3, [3, 1]),
        ([WRONG] * 3, 3, 3, [3]),
        ([RIGHT] * 3, 3, None, [3]),
    ],
)
async def test_it_stops_once_enough_verified(choices, samples, accept, asked):
    teacher = Teacher(*choices)
    await distill(work_of(teacher, samples=samples, accept=accept))
    assert teacher.asked == asked


async def test_what_was_bought_is_not_bought_again():
    partials: dict[int, Any] = {}
    first = Teacher(WRONG, RIGHT, EndpointUnreachable("gone"))
    with pytest.raises(EndpointUnreachable):
        await distill(work_of(first, partials, samples=4, accept=2))
    second = Teacher(RIGHT)
    result = await distill(work_of(second, partials, samples=4, accept=2))
    assert second.asked == [1] and [response.draw for response in responses_of(result)] == [0, 1, 2]
    third = Teacher()
    again = await distill(work_of(third, partials, samples=4, accept=2))
    assert third.asked == [] and again.records == result.records


async def test_what_cannot_be_graded_is_neither_accepted_nor_wrong(monkeypatch):
    async def hangs(gold, answer):
        raise GradingError("took more than 5 s")

    monkeypatch.setattr(sampling, "verify", hangs)
    result = await distill(work_of(Teacher(RIGHT), samples=1))
    (response,) = responses_of(result)
    assert not response.verified and response.grading_error == "took more than 5 s" and result.summary["ungraded"] == 1


@pytest.mark.parametrize(
    ("message", "verified"),
    [
        (chat("The answer is 30.", reasoning_content="Wait, is it 11?"), True),
        (chat("The answer is 30.", reasoning="Wait, is it 11?"), True),
        (chat("<think>Wait, is it 11?</think>\n\nThe answer is 30."), True),
        (chat("Wait, is it 11?\n</think>\nThe answer is 30."), True),  # the template opened the tag
        (chat("The answer is 11.", reasoning_content="The answer is 30."), False),
        (chat("<think>\\boxed{30}</think>The answer is 11."), False),
        (chat("\\boxed{30}</think>I cannot say."), False),
        (chat(None, reasoning_content="The answer is 30."), False),
        (chat("<think>The answer is 30."), False),
    ],
)
async def test_what_was_thought_is_no_answer(server, message, verified):
    server.script = [Reply(message)]
    result = await distill(work_of(teacher_at(server), samples=1))
    (response,) = responses_of(result)
    assert response.verified is verified and response.reasoning
    assert "think>" not in response.completion and response.reasoning not in response.text
    if verified:
        assert response.completion == "Wait, is it 11?\n\nThe answer is 30."


async def test_a_cut_sample_is_rejected_and_further_rounds_are_asked_for(server):
    def reply(text, finish_reason="stop"):
        return Reply(said(text, finish_reason).body)

    cut = reply("<think>Wait.</think>The answer is 30. Or", "length")
    server.script = [cut, reply("The answer is 11."), reply("The answer is 30."), cut, reply("The answer is 30.")]
    result = await distill(work_of(teacher_at(server), samples=8, accept=2))
    responses = responses_of(result)
    assert [response.verified for response in responses] == [False, False, True, False, True]
    assert [response.draw for response in responses] == [0, 1, 2, 3, 4] and result.summary["truncated"] == 2
    assert len(server.asked) == 5, "a server that gives one choice a request is asked for the others"


async def test_an_item_of_several_problems_is_hopeless():
    with pytest.raises(Hopeless, match="holds one problem, this one 2"):
        await distill(work_of(Teacher(), problems=(PROBLEM, PROBLEM)))
