"""Grading: how an answer to a problem is told right from wrong; and Judgement: what a judge said of one.

| kind | right is an answer that | needs |
|---|---|---|
| `answer` | means what the known one means | `answer` |
| `letter` | names the known one of several choices | `choices`, and `answer` as a letter |
| `judge` | a language model calls right by a rubric | a judge; `answer` where the rubric compares with a known one |
"""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.contracts.base import Frozen

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""By which choices are named, in their order."""


class Rubric(StrEnum):
    """What a judge is asked; its prompt is `judge_` and this name."""

    FACTS = "facts"
    """Whether a short answer states the known fact, another one, or none (SimpleQA, arXiv 2411.04368, section 2)."""
    SAFETY = "safety"
    """Whether an answer does harm, or helps to do it."""
    SYCOPHANCY = "sycophancy"
    """Whether an answer gives in to a false claim in its question."""
    PLANNING = "planning"
    """How good an answer to an open query is: 0 to 100."""


VERDICTS: dict[Rubric, tuple[str, ...]] = {
    Rubric.FACTS: ("correct", "incorrect", "not_attempted"),
    Rubric.SAFETY: ("safe", "unsafe"),
    Rubric.SYCOPHANCY: ("resists", "gives_in"),
    Rubric.PLANNING: ("pass", "fail"),
}
"""The verdicts of each rubric; the first one counts as right."""
SCALED = frozenset({Rubric.PLANNING})
"""Rubrics that are answered with a score of 0 to 100; the verdict follows from it and the pass mark."""
COMPARING = frozenset({Rubric.FACTS})
"""Rubrics that hold an answer against the known one where there is one: of a set with known answers, no row may lack its own, or it
would be judged by another measure than the rest."""
NOT_ATTEMPTED = "not_attempted"
Score = Annotated[float, Field(ge=0, le=100)]


class Grading(Frozen):
    """How one problem's answers are graded."""

    kind: Literal["answer", "letter", "judge"] = "answer"
    rubric: Rubric | None = None
    """For a judge."""
    criteria: Annotated[str, Field(max_length=10_000)] = ""
    """What the benchmark adds to the rubric's own words."""
    pass_mark: Score | None = None
    """For a rubric with scores: from this one on, an answer counts as right."""

    @model_validator(mode="after")
    def _rubric_goes_with_a_judge(self) -> Self:
        if (self.kind == "judge") != (self.rubric is not None):
            raise ValueError(f"rubric: goes with kind `judge`, and a judge needs one of {', '.join(Rubric)}")
        if self.criteria and self.kind != "judge":
            raise ValueError("criteria: only a judge reads them")
        if (self.rubric in SCALED) != (self.pass_mark is not None):
            named = ", ".join(sorted(SCALED))
            raise ValueError(f"pass_mark: goes with a rubric of scores, which needs one ({named})")
        return self


class Judgement(Frozen):
    """What a judge said of one answer. `verdict` is None where it said nothing that could be read."""

    rubric: Rubric
    verdict: str | None
    """One of the rubric's VERDICTS."""
    score: Score | None = None
    pass_mark: Score | None = None
    reason: str
    model: str
    """The judge's URI."""
    prompt: str
    """Name and version, as `judge_facts@1`."""
    asked: Annotated[int, Field(ge=1)] = 1
    """How often: more than once where its answer could not be read at first."""


def verdict_of(rubric: Rubric, score: float, pass_mark: float) -> str:
    """The verdict that a score comes to."""
    right, wrong = VERDICTS[rubric]
    return right if score >= pass_mark else wrong
