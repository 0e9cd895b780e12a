"""JudgedSolution and RewardReport: what a reward said of labelled steps, and how often it was right."""

from typing import Annotated

from pydantic import Field

from shared.contracts.base import Frozen, Origin, Record
from shared.contracts.problem import StepLabel
from shared.contracts.tree import SearchCost, Verdict

Share = Annotated[float | None, Field(ge=0, le=1)]
"""None: of nothing, so there is no share."""
Tally = Annotated[int, Field(ge=0)]


class JudgedStep(Frozen):
    """What a reward said of one labelled step."""

    step: Annotated[int, Field(ge=1)]
    """Its place in the solution, from 1."""
    alternative: bool
    """Whether it was proposed in that place and not gone on from."""
    label: StepLabel
    score: Annotated[float | None, Field(ge=0, le=1)]
    verdict: Verdict
    reason: str | None


class JudgedSolution(Record):
    """One labelled solution, judged. Steps come in order, each followed by its alternatives."""

    origin: Origin
    problem_id: str
    reward: str
    steps: tuple[JudgedStep, ...]
    cost: SearchCost


class Confusion(Frozen):
    """How a reward's calls compare with the labels; `incorrect` is the positive class, and what was not called so counts as not."""

    found: Tally
    """Incorrect, and called so."""
    missed: Tally
    """Incorrect, and not called so."""
    accused: Tally
    """Not incorrect, but called so."""
    passed: Tally
    """Not incorrect, and not called so."""
    precision: Share
    recall: Share
    f1: Share
    macro_f1: Share
    """Mean of the F1 of both classes."""
    mcc: Annotated[float | None, Field(ge=-1, le=1)]
    """Matthews' correlation coefficient; None where a class is empty on either side."""


class RewardReport(Record):
    """The outcome of an `eval_reward` stage (see services/searcher/measures.py for what each figure is)."""

    origin: Origin
    benchmark: str
    reward: str
    """Its kind; of a weighted one also its parts', as `weighted (arithmetic + critic)`."""
    models: dict[str, str]
    """Role -> URI of the model that played it."""
    steps: Confusion
    solutions: Confusion
    first_error_accuracy: Share
    """Wrong solutions of which exactly the first error was the first step called incorrect."""
    correct_accuracy: Share
    """Right solutions of which no step was called incorrect."""
    processbench_f1: Share
    """Harmonic mean of the two."""
    solution_count: Tally
    """Judged solutions."""
    left_out: dict[str, int]
    """Judged, but in no figure: steps `after_error` or with label `none`; solutions whose labels do not tell where they go
    wrong.
    """
    unlabelled: Tally
    """Problems without labelled steps, passed over."""
    missing: Tally
    """Problems whose items died."""
    unknown: Tally
    """Steps in the figures of which the reward could say neither: counted as not called incorrect, as a search would go on from
    them.
    """
    prompt_tokens: Tally
    completion_tokens: Tally
    """The policy's, for rollouts."""
    reward_tokens: Tally
    """Tokens that reward models and critics read and wrote."""
    format_errors: Tally
    """Answers of a critic that could not be read and were asked for again."""
