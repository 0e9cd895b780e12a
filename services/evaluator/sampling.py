"""Samples of one model on one problem: asked, graded, and made into records."""

from collections.abc import Sequence

from services.evaluator.forcing import Drawn, forced_draws, made_to_answer
from shared.answers.choice import choice_of
from shared.answers.extract import final_answer
from shared.answers.verify import GradingError, verify
from shared.answers.version import GRADER
from shared.contracts.base import Message, Origin
from shared.contracts.grading import LETTERS
from shared.contracts.problem import Problem
from shared.contracts.stages import EvaluateStage
from shared.contracts.thought import Response
from shared.engines.client import Choice, Endpoint
from shared.prompts import render, version

PROMPTS = {"answer": "solve", "letter": "solve_choice", "judge": "respond"}
"""How a problem of each kind of grading is asked; a judge sees what is said to the bare question."""


def prompt_of(problem: Problem) -> str:
    """Name and version of the prompt that a problem is asked with."""
    return version(PROMPTS[problem.grading.kind])


async def sample_problem(endpoint: Endpoint, model: str, stage: EvaluateStage, problem: Problem, origin: Origin) -> list[Response]:
    """`stage.samples` answers of the model that the recipe calls `model`, graded but for a judge's. Raises EngineError.

    A sample cut by the token limit is graded as it stands: an answer that it states counts. A grading error is kept in its sample.
    """
    choices = list(zip(LETTERS, problem.choices, strict=False))
    asked = render(PROMPTS[problem.grading.kind], question=problem.question, choices=choices)
    question = Message(role="user", content=asked)
    forces = stage.budget is not None or stage.waits > 0
    drawn = await (forced_draws(endpoint, question, stage) if forces else _draws(endpoint, question, stage))
    samples = []
    for draw, one in enumerate(drawn):
        choice = one.choice
        asked_for = made_to_answer(choice.text, one.forced, one.tokens, stage.budget)
        extracted, verified, error = await graded(problem, choice.text, asked_for)
        samples.append(
            Response(
                id=f"{model}/{problem.id}#{draw}",
                problem_id=problem.id,
                question=problem.question,
                answer=problem.answer,
                split="test",
                origin=origin.model_copy(update={"prompt": prompt_of(problem)}),
                text=choice.text,
                choices=problem.choices,
                reasoning=choice.reasoning,
                model=model,
                draw=draw,
                finish_reason=choice.finish_reason,
                extracted=extracted,
                verified=verified,
                grading_error=error,
                grader="" if problem.grading.kind == "judge" else GRADER,
                prompt_tokens=one.prompt_tokens,
                completion_tokens=one.tokens,
                tokens_estimated=one.estimated,
                forced=one.forced,
            )
        )
    return samples


async def _draws(endpoint: Endpoint, question: Message, stage: EvaluateStage) -> list[Drawn]:
    """`stage.samples` answers to one request."""
    completion = await endpoint.chat([question], n=stage.samples, sampling=stage.sampling)
    tokens = completion.each or tokens_of(completion.choices, completion.completion_tokens)
    estimated = len(tokens) > 1 and not completion.each and not _told(completion.choices)
    return [
        Drawn(choice, count, completion.prompt_tokens, estimated=estimated)
        for choice, count in zip(completion.choices, tokens, strict=True)
    ]


async def graded(problem: Problem, text: str, asked_for: str = "") -> tuple[str | None, bool, str | None]:
    """(what the text states, whether that is right, why it could not be told), where no judge is needed to tell.

    `asked_for`: its end, where it was made to answer. What is stated there counts, whatever stands above it (a box would come
    first); where nothing is, the whole text counts.
    """
    if problem.grading.kind == "judge":
        return None, False, None
    if final_answer(asked_for) is not None or choice_of(asked_for, problem.choices) is not None:
        text = asked_for
    if problem.grading.kind == "letter":
        letter = choice_of(text, problem.choices)
        return letter, letter == problem.answer, None
    extracted = final_answer(text)
    return extracted, *await grade(problem.answer, extracted)


async def grade(gold: str, extracted: str | None) -> tuple[bool, str | None]:
    """(whether the answer is right, why it could not be told); no stated answer is a wrong one."""
    if extracted is None:
        return False, None
    try:
        return await verify(gold, extracted), None
    except GradingError as error:
        return False, str(error)


def tokens_of(choices: Sequence[Choice], total: int) -> list[int]:
    """Output tokens of each choice of a request: its ids counted, or, where only the sum is told, that shared out by length.

    The counts sum to `total` in the latter case, so an average over samples is exact either way.
    """
    if _told(choices):
        return [len(choice.token_ids) for choice in choices]
    lengths = [len(choice.text) + len(choice.reasoning or "") + 1 for choice in choices]
    ends = [round(total * sum(lengths[: place + 1]) / sum(lengths)) for place in range(len(lengths))]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _told(choices: Sequence[Choice]) -> bool:
    """Whether every choice came with its token ids."""
    return all(choice.token_ids for choice in choices)
