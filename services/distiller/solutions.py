r"""Existing data as completions to learn: worked solutions brought into numbered steps, and chats as they are.

A worked solution of GSM8K (its calculator marks already taken out, see `shared/problems/formats.py`)

    Natalia sold 48/2 = 24 clips in May.
    Natalia sold 48+24 = 72 clips altogether in April and May.
    The answer is 72.

becomes

    Step 1: Natalia sold 48/2 = 24 clips in May.
    Step 2: Natalia sold 48+24 = 72 clips altogether in April and May.
    The answer is 72.

One with LaTeX (MATH, AIME) is prose, whose lines are no steps: it stays as it is, and only the last line is added.
"""

import json
import re

from pydantic import TypeAdapter, ValidationError

from shared.answers.extract import final_answer
from shared.answers.verify import GradingError, verify
from shared.contracts.base import Message
from shared.contracts.problem import Problem

_NUMBER = re.compile(r"^(?:step\s+\d+\s*[:.)-]|\d+[.)](?=\s))\s*", re.IGNORECASE)
_CONCLUSION = re.compile(r"(?:so |therefore,? |thus,? |hence,? )?(?:the )?(?:final )?answer(?: is|:).*|####.*", re.IGNORECASE)
_CHAT = TypeAdapter(tuple[Message, ...])


class Unusable(Exception):
    """A problem that gives no sample; its message is the reason, as counted."""


async def worked_solution(problem: Problem) -> str:
    """The problem's own solution as a completion that ends in its answer. Raises Unusable."""
    solution = (problem.solution or "").strip()
    if not solution:
        raise Unusable("no solution")
    stated = final_answer(solution)
    try:
        if stated is not None and not await verify(problem.answer, stated):
            raise Unusable("its solution states another answer")
    except GradingError as error:
        raise Unusable("its solution's answer cannot be compared") from error
    last = f"The answer is {problem.answer}."
    if "\\" in solution:
        return solution if solution.splitlines()[-1].strip() == last else f"{solution}\n{last}"
    lines = [_NUMBER.sub("", line.strip()) for line in solution.splitlines()]
    steps = [line for line in lines if line and not _CONCLUSION.fullmatch(line)]
    return "\n".join([*(f"Step {number}: {step}" for number, step in enumerate(steps, start=1)), last])


def chat_of(problem: Problem) -> tuple[Message, ...]:
    """The chat that a row of `messages` held, word for word; its last turn is the assistant's. Raises Unusable."""
    held = problem.metadata.get("messages")
    if held is None:
        raise Unusable("no chat: the problem was not added as a row of `messages`")
    try:
        chat = _CHAT.validate_python(json.loads(str(held)))
    except (ValueError, ValidationError) as error:
        raise Unusable("its `messages` are not a chat") from error
    if len(chat) < 2 or chat[-1].role != "assistant":
        raise Unusable("its `messages` do not end with an assistant's turn")
    return chat
