"""Samples of one model on one problem: asked, graded, and made into records."""

from collections.abc import Sequence

from shared.answers.extract import final_answer
from shared.answers.verify import GradingError, verify
from shared.contracts.base import Message, Origin
from shared.contracts.problem import Problem
from shared.contracts.stages import EvaluateStage
from shared.contracts.thought import Response
from shared.engines.client import Choice, Endpoint
from shared.prompts import render

PROMPT = "solve"


async def sample_problem(endpoint: Endpoint, model: str, stage: EvaluateStage, problem: Problem, origin: Origin) -> list[Response]:
    """`stage.samples` graded answers of the model that the recipe calls `model`. Raises EngineError.

    A sample cut by the token limit is graded as it stands: an answer that it states counts. A grading error is kept in its sample.
    """
    question = Message(role="user", content=render(PROMPT, question=problem.question))
    completion = await endpoint.chat([question], n=stage.samples, sampling=stage.sampling)
    tokens = tokens_of(completion.choices, completion.completion_tokens)
    samples = []
    for draw, (choice, count) in enumerate(zip(completion.choices, tokens, strict=True)):
        extracted = final_answer(choice.text)
        verified, error = await grade(problem.answer, extracted)
        samples.append(
            Response(
                id=f"{model}/{problem.id}#{draw}",
                problem_id=problem.id,
                question=problem.question,
                answer=problem.answer,
                split="test",
                origin=origin,
                text=choice.text,
                reasoning=choice.reasoning,
                model=model,
                draw=draw,
                finish_reason=choice.finish_reason,
                extracted=extracted,
                verified=verified,
                grading_error=error,
                prompt_tokens=completion.prompt_tokens,
                completion_tokens=count,
            )
        )
    return samples


async def grade(gold: str, extracted: str | None) -> tuple[bool, str | None]:
    """(whether the answer is right, why it could not be told); no stated answer is a wrong one."""
    if extracted is None:
        return False, None
    try:
        return await verify(gold, extracted), None
    except GradingError as error:
        return False, str(error)


def tokens_of(choices: Sequence[Choice], total: int) -> list[int]:
    """Output tokens of each choice: its ids counted, or, where the endpoint tells only the sum, that shared out by length of text.

    The counts sum to `total` in the latter case, so an average over samples is exact either way.
    """
    if all(choice.token_ids for choice in choices):
        return [len(choice.token_ids) for choice in choices]
    lengths = [len(choice.text) + len(choice.reasoning or "") + 1 for choice in choices]
    ends = [round(total * sum(lengths[: place + 1]) / sum(lengths)) for place in range(len(lengths))]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]
