"""What stages hand to each other while a recipe is priced, and what each of them asks of models."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared import prompts
from shared.contracts.models import Sampling
from shared.contracts.recipe import Recipe
from shared.pricing.assumptions import Assumptions
from shared.pricing.lengths import Measured, tokens
from shared.pricing.ranges import NOTHING, Range, between, ranged, total

TURN = 30
"""Tokens of a chat template around a question: the turns' marks, and the default system message that SmolLM2's and Qwen2.5's add.
(With SmolLM2 the comparison of the quickstart had 86.5 prompt tokens a request, of which 32 are the question's and 21 ours.)"""


@dataclass(frozen=True)
class Asked:
    """Requests of a stage to one model."""

    role: str
    model: str
    """The recipe's name for it: a model, or the train stage whose checkpoint it is."""
    calls: Range
    prompt: Range
    """Prompt tokens; what several samples of one request share counts once, as endpoints charge for it."""
    output: Range


@dataclass(frozen=True)
class Problems:
    """Problems that a stage has to do with; lengths in tokens, of one problem."""

    count: Range
    question: Range
    solution: Range
    steps: Range
    labelled: Range
    """Labelled steps of a solution, alternatives included."""

    @property
    def step(self) -> float:
        """Tokens of one step, expected."""
        return self.solution.expected / max(self.steps.expected, 1.0)


@dataclass(frozen=True)
class Texts:
    """Records that can be trained on, or chosen from; lengths in tokens, of one text."""

    count: Range
    questions: Range
    """How many questions they answer."""
    prompt: Range
    completion: Range


@dataclass(frozen=True)
class Given:
    """What a stage gives to later ones."""

    problems: Problems | None = None
    texts: Mapping[str, Texts] = field(default_factory=dict)
    """By the configuration that a train stage names: `sft`, `journey`, `shortcut`, `preference`, `prm`."""
    trees: Problems | None = None
    """The problems of its trees, where it gives trees."""
    writes: Range | None = None
    """Tokens of an answer of a checkpoint: the completions that it was trained on."""
    trained: Range = NOTHING
    """Tokens that a checkpoint was trained on."""
    drawn: Texts | None = None
    """All responses, wrong ones included, of which pairs are made."""


@dataclass(frozen=True)
class Work:
    """What one stage does."""

    items: Range
    asked: tuple[Asked, ...] = ()
    trained: Range = NOTHING
    """Tokens trained on, all epochs together."""
    operations: float = 6.0
    """Floating-point operations a parameter and trained token."""
    given: Given = Given()
    assumed: tuple[str, ...] = ()
    """Names of the assumptions it rests on."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Known:
    """All that pricing a stage may look at."""

    recipe: Recipe
    assumptions: Assumptions
    measured: Mapping[str, Measured]
    """Problem sources of the recipe that are stored or generated."""
    done: Mapping[str, Given]
    """What the stages before gave."""

    def problems(self, name: str) -> Problems:
        """Those of a problem source, or of a curation."""
        if name not in self.recipe.problems:
            given = self.done[name].problems
            assert given is not None
            return given
        source, one, say = self.recipe.problems[name], self.measured.get(name), self.assumptions
        if one is None:
            count = ranged(source.count) if source.count else say.problems
            return Problems(count, say.question, say.solution, say.steps, say.steps)
        solution = say.solution if one.solution is None else say.tokenizer * one.solution
        steps = say.steps if one.steps is None else ranged(max(1.0, one.steps))
        labelled = NOTHING if one.labelled is None else ranged(one.labelled)
        return Problems(ranged(one.count), say.tokenizer * one.question, solution, steps, labelled)

    def assumed_of(self, name: str) -> tuple[str, ...]:
        """Assumptions about a problem source that could not be measured."""
        if name not in self.recipe.problems:
            return ()
        one = self.measured.get(name)
        if one is None:
            return *(() if self.recipe.problems[name].count else ("problems",)), "question", "solution", "steps"
        return "tokenizer", *(("solution",) if one.solution is None else ()), *(("steps",) if one.steps is None else ())


def frame(prompt: str, **values: object) -> float:
    """Tokens of a prompt's own words, and of the chat template around them."""
    return tokens(prompts.render(prompt, **values)) + TURN


def solve() -> float:
    """The prompt that a problem is asked with, without its question."""
    return frame("solve", question="")


def share_of(limit: int, share: Range) -> Range:
    """Tokens of an answer that takes a share of its `max_tokens`."""
    return (share * limit).at_most(limit)


def bounded(expected: Range, sampling: Sampling) -> Range:
    """Tokens of an answer: as expected, and at most `max_tokens`."""
    limit = sampling.max_tokens
    return between(min(expected.low, limit), min(expected.expected, limit), limit)


def mixed(parts: list[Texts]) -> Texts:
    """Texts of several stages together; lengths are means by count."""
    if not parts:
        return Texts(NOTHING, NOTHING, NOTHING, NOTHING)
    count = total(part.count for part in parts)

    def mean(lengths: list[Range]) -> Range:
        weights = [part.count.expected for part in parts]
        whole = sum(weights)
        if not whole:
            return lengths[0]
        low, high = min(one.low for one in lengths), max(one.high for one in lengths)
        return between(low, sum(one.expected * by for one, by in zip(lengths, weights, strict=True)) / whole, high)

    return Texts(
        count,
        total(part.questions for part in parts),
        mean([part.prompt for part in parts]),
        mean([part.completion for part in parts]),
    )


def writes(name: str, known: Known, problems: Problems) -> Range:
    """Tokens of a model's answer: a checkpoint's are like the completions that it learned, others' like solutions."""
    while name in known.done:
        learned = known.done[name].writes
        if learned is not None:
            return learned
        training = known.recipe.training(name)
        assert training
        name = training.base  # preferences do not say how long an answer is: its base's does
    return problems.solution * known.assumptions.spread
