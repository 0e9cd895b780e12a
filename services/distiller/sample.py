"""Rejection sampling: long thoughts of a teacher, kept where their final answer verifies (Part 2, section 2)."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from shared import prompts
from shared.answers.extract import final_answer
from shared.answers.verify import GradingError, verify
from shared.answers.version import GRADER
from shared.contracts.base import Message, Origin
from shared.contracts.problem import Problem
from shared.contracts.stages import DistillStage
from shared.contracts.thought import Response
from shared.engines.client import Choice, Completion, Endpoint

PROMPT = "solve"
Save = Callable[[int, dict[str, Any]], Awaitable[None]]


async def sample(
    problem: Problem, stage: DistillStage, teacher: Endpoint, origin: Origin, bought: Sequence[Response], save: Save
) -> list[Response]:
    """All samples of a problem, right and wrong, in order of their draw.

    Without `accept`, `stage.samples` at once. With it, so many at once as are still wanted, until enough verified or all are drawn.
    `bought` are the samples of earlier attempts, which are not bought again; each round is saved as soon as it is graded.
    Raises EngineError.
    """
    responses = list(bought)
    message = Message(role="user", content=prompts.render(PROMPT, question=problem.question))
    while wanted := _wanted(stage, responses):
        completion = await teacher.chat([message], n=wanted, sampling=stage.sampling)
        first = len(responses)
        new = [
            await _graded(problem, choice, first + place, completion, teacher, origin)
            for place, choice in enumerate(completion.choices)
        ]
        await save(first, {"responses": [response.model_dump(mode="json") for response in new]})
        responses += new
    return responses


def _wanted(stage: DistillStage, responses: Sequence[Response]) -> int:
    """How many samples the next round asks for; 0 when it is enough."""
    left = stage.samples - len(responses)
    if stage.accept is None:
        return max(0, left)
    return max(0, min(left, stage.accept - sum(response.verified for response in responses)))


async def _graded(
    problem: Problem, choice: Choice, draw: int, completion: Completion, teacher: Endpoint, origin: Origin
) -> Response:
    """A sample with its verdict. One that was cut is rejected, whatever it says; one that cannot be graded says why."""
    extracted = final_answer(choice.text)
    verified, grading_error = False, None
    if choice.finish_reason == "stop" and extracted is not None:
        try:
            verified = await verify(problem.answer, extracted)
        except GradingError as error:
            grading_error = str(error)
    share = len(completion.choices)
    return Response(
        id=f"{problem.id}#{draw}",
        problem_id=problem.id,
        question=problem.question,
        answer=problem.answer,
        origin=origin,
        text=choice.text,
        reasoning=choice.reasoning or None,
        model=teacher.uri,
        draw=draw,
        finish_reason=choice.finish_reason,
        extracted=extracted,
        verified=verified,
        grading_error=grading_error,
        grader=GRADER,
        # a server reports usage by request: each choice carries its part, and token ids say more where there are any
        prompt_tokens=completion.prompt_tokens // share,
        completion_tokens=len(choice.token_ids) or completion.completion_tokens // share,
    )
