"""Problem: a question with a known final answer, perhaps with a solution whose steps people labelled."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from shared.contracts.base import Frozen, Record

Scalar = str | int | float | bool


class StepLabel(StrEnum):
    """What is known of a step, from its publisher."""

    CORRECT = "correct"
    NEUTRAL = "neutral"
    """Not wrong, and of no help (PRM800K's rating 0)."""
    INCORRECT = "incorrect"
    AFTER_ERROR = "after_error"
    """It follows a wrong step: whatever it says stands on an error."""
    NONE = "none"
    """Nobody labelled it."""


class Proposal(Frozen):
    """A step that was proposed, and what is known of it."""

    text: Annotated[str, Field(min_length=1)]
    label: StepLabel


class LabelledStep(Proposal):
    """One step of a labelled solution, with the alternatives that were labelled beside it: together, a level of a tree."""

    alternatives: tuple[Proposal, ...] = ()
    """Others that were proposed in its place; nothing follows them."""


class Problem(Record):
    """A question with a known final answer.

    `id` is unique within its problem set; `solution` is the publisher's worked solution, one step per line where it has steps.
    """

    id: Annotated[str, Field(min_length=1, max_length=200)]
    question: Annotated[str, Field(min_length=1)]
    answer: Annotated[str, Field(min_length=1)]
    solution: str | None = None
    source: str = ""
    """The publisher's name: `gsm8k`, `math`, `aime`, `arithmetic` ..."""
    subject: str | None = None
    level: int | None = None
    steps: tuple[LabelledStep, ...] = ()
    """A solution, right or wrong, whose steps were labelled (and which is not `solution`); empty where there is none."""
    metadata: dict[str, Scalar] = {}
