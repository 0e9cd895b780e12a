"""Reflections that a draft lacks: where the tree holds no reason in words, a model is asked for one (Part 2, 2.2).

It is given the question, the solution so far, the steps that followed, and told that these are wrong.
"""

from collections.abc import Sequence
from dataclasses import replace

from services.compiler.template import tells_of_search
from services.compiler.traverse import UNEXPLAINED, Piece
from shared.answers.equalities import equalities, numbers
from shared.answers.extract import final_answer
from shared.contracts.base import Message
from shared.contracts.problem import Problem
from shared.contracts.stages import Refiner
from shared.contracts.thought import Role
from shared.engines.client import Choice, Endpoint, RequestRefused
from shared.prompts import render

PROMPT = "reflect"
LONGEST = 400
"""Characters: a reflection is a remark, not a solution."""


async def reflected(problem: Problem, pieces: Sequence[Piece], how: Refiner, endpoint: Endpoint) -> tuple[tuple[Piece, ...], int]:
    """The pieces with the reasons that were missing, and how many the model gave. One that will not do leaves the piece as it is.

    Raises EngineError.
    """
    found = list(pieces)
    given = 0
    for place, piece in enumerate(pieces):
        if piece.role is not Role.REFLECTION or not (piece.text in UNEXPLAINED or tells_of_search(piece.text)):
            continue
        before, trial = _told(pieces, place)
        prompt = render(PROMPT, question=problem.question, so_far="\n".join(before), steps="\n".join(trial))
        try:
            completion = await endpoint.chat([Message(role="user", content=prompt)], sampling=how.sampling)
        except RequestRefused as error:
            if error.status != 400:
                raise
            continue
        if (reason := reason_in(completion.choices[0], problem, [*before, *trial])) is not None:
            found[place] = replace(piece, text=reason)
            given += 1
    return tuple(found), given


def reason_in(choice: Choice, problem: Problem, told: Sequence[str]) -> str | None:
    """The reason that an answer gives; None if it is cut, empty or long, gives the answer away, or claims what is false."""
    text = " ".join(choice.text.split())
    if choice.finish_reason != "stop" or not text or len(text) > LONGEST or final_answer(text) is not None:
        return None
    known = numbers(problem.question).union(*(numbers(line) for line in told))
    if (numbers(problem.answer) - known) & numbers(text):
        return None
    false = {one.left for line in told for one in equalities(line) if not one.holds}
    if any(not one.holds and one.left not in false for one in equalities(text)):
        return None
    return text


def _told(pieces: Sequence[Piece], reflection: int) -> tuple[list[str], list[str]]:
    """The right steps before a reflection, and the wrong ones that it is about."""
    start = reflection
    while start and pieces[start - 1].role is Role.WRONG_STEP:
        start -= 1
    before = [piece.text for piece in pieces[:start] if piece.role is Role.STEP]
    return before, [piece.text for piece in pieces[start:reflection]]
