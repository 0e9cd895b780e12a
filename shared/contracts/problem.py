"""Problem: a question and how its answer is graded, perhaps with a solution whose steps people labelled."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from shared.contracts.base import Frozen, Record
from shared.contracts.grading import LETTERS, Grading

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
    """A question with a known final answer, or with choices, or for a judge.

    `id` is unique within its problem set; `solution` is the publisher's worked solution, one step per line where it has steps.
    """

    id: Annotated[str, Field(min_length=1, max_length=200)]
    question: Annotated[str, Field(min_length=1)]
    answer: str = ""
    """The known final answer; of choices, the letter of the right one. Only a judge may do without."""
    choices: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """The choices' texts, in the order of their letters: A, B ..."""
    grading: Grading = Grading()
    solution: str | None = None
    source: str = ""
    """The publisher's name: `gsm8k`, `math`, `aime`, `arithmetic` ..."""
    subject: str | None = None
    level: int | None = None
    steps: tuple[LabelledStep, ...] = ()
    """A solution, right or wrong, whose steps were labelled (and which is not `solution`); empty where there is none."""
    metadata: dict[str, Scalar] = {}

    @model_validator(mode="after")
    def _can_be_graded(self) -> Self:
        if not self.answer.strip() and self.grading.kind != "judge":
            raise ValueError("no final answer: `answer` is empty")
        if bool(self.choices) != (self.grading.kind == "letter"):
            raise ValueError("`choices` and a grading of kind `letter` go together")
        if self.choices and not 2 <= len(self.choices) <= len(LETTERS):
            raise ValueError(f"`choices`: 2 to {len(LETTERS)} are needed, not {len(self.choices)}")
        if self.choices and self.answer not in tuple(LETTERS[: len(self.choices)]):
            raise ValueError(f"`answer` is {self.answer[:40]!r}: no choice (A to {LETTERS[len(self.choices) - 1]})")
        return self
