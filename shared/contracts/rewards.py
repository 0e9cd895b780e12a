"""Rewards: how a recipe says that steps are judged, and what came of the steps of a response."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.contracts.base import Frozen
from shared.contracts.models import Count, Fraction, Sampling

Aggregate = Literal["last", "min", "product", "mean"]
"""How the scores of a solution's steps become one value."""


class RewardPart(Frozen):
    """One way to judge a step; in a weighted combination, with its weight there."""

    kind: Literal["rollout", "arithmetic", "prm", "critic"] = "arithmetic"
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Of this part in a `weighted` reward; weights are relative to each other."""
    rollouts: Count = 4
    """For `rollout`: Monte-Carlo completions a step."""
    model: str | None = None
    """For `prm`: the process reward model (a model with `prm`); for `critic`: the model that judges."""
    threshold: Fraction = 0.5
    """For `prm` and `weighted`: a step that scores below it is called incorrect."""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """For `critic`: how often a judgement that cannot be read is asked for again."""
    sampling: Sampling = Sampling(temperature=0.0, max_tokens=256)
    """For `critic`: `max_tokens` is a judgement's."""

    @model_validator(mode="after")
    def _has_its_model(self) -> Self:
        if (self.kind in ("prm", "critic")) != (self.model is not None):
            raise ValueError(f"`model` goes with the kinds prm and critic, and only there (kind is {self.kind})")
        return self

    def models(self) -> Iterator[tuple[str, str]]:
        """Pairs of role and the model that plays it."""
        if self.model is not None:
            yield "reward", self.model


class Reward(RewardPart):
    """How steps are judged, and how the scores along a path become one."""

    kind: Literal["rollout", "arithmetic", "prm", "critic", "weighted"] = "arithmetic"  # type: ignore[assignment]
    parts: tuple[RewardPart, ...] = ()
    """For `weighted`: what is combined. A step's score is the weighted mean of its parts' scores."""
    aggregate: Aggregate = "last"
    """How the scores of a path's steps become the path's value, by which paths are compared wherever they are."""

    @model_validator(mode="after")
    def _has_its_parts(self) -> Self:
        if (self.kind == "weighted") != bool(self.parts):
            raise ValueError(f"`parts` go with the kind weighted, and only there (kind is {self.kind})")
        return self

    def judges(self) -> Iterator[tuple[str, RewardPart]]:
        """The reward and its parts, each after the field that names its model, if it has one: `model`, `parts.0.model` ..."""
        yield "model", self
        yield from ((f"parts.{place}.model", part) for place, part in enumerate(self.parts))

    def models(self) -> Iterator[tuple[str, str]]:
        """Pairs of role and the model that plays it: `reward`, or `reward.0`, `reward.1` ... of a weighted combination."""
        yield from super().models()
        for place, part in enumerate(self.parts):
            for role, model in part.models():
                yield f"{role}.{place}", model


class Scoring(Frozen):
    """What a process reward model said of the steps of one response, and the weight that they give to its vote."""

    model: str
    """The reward's URI."""
    scores: tuple[Fraction, ...] = ()
    """One a step, in order: a step is a line of the text that is not blank. None where the steps could not be scored."""
    aggregate: Aggregate
    """How they became the weight."""
    weight: Fraction | None = None
    error: str | None = None
    """Why there is no weight; the response then has no part in a weighted vote, which is not a weight of 0."""

    @model_validator(mode="after")
    def _has_a_weight_or_says_why_not(self) -> Self:
        if (self.weight is None) != (self.error is not None):
            raise ValueError("weight: a scoring has one, or an error that says why not")
        if self.weight is not None and not self.scores:
            raise ValueError("scores: a weight comes of some")
        return self
