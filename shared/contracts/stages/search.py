"""Stages of the searcher: trees grown, and rewards measured."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from shared.contracts.models import Count, Sampling
from shared.contracts.rewards import Reward
from shared.contracts.stages.base import Service, StageBase

SEARCH_PARAMETERS: dict[str, frozenset[str]] = {
    "beam": frozenset({"width", "keep", "retries", "keep_exploring", "stop_after"}),
    "dvts": frozenset({"width", "subtrees", "retries", "stop_after"}),
    "best_of_n": frozenset({"chains"}),
    "mcts": frozenset({"width", "simulations", "exploration", "formula", "stop_after"}),
    "propose_critique": frozenset({"turns", "stop_after"}),
    "debate": frozenset({"turns", "critic", "stop_after"}),
}
"""Strategy -> the parameters of a search stage that it uses, beside `max_depth`, which all do."""


class SearchStage(StageBase):
    """One reasoning tree a problem."""

    kind: Literal["search"] = "search"
    service: ClassVar[Service] = Service.SEARCHER
    problems: str
    policy: str
    strategy: Literal["beam", "dvts", "best_of_n", "mcts", "propose_critique", "debate"] = "beam"
    width: Annotated[int, Field(ge=2, le=64)] = 4
    """Children asked for at a node."""
    keep: Annotated[int, Field(ge=1, le=64)] = 2
    """beam: survivors of a round."""
    max_depth: Annotated[int, Field(ge=1, le=64)] = 6
    """Steps of the longest path."""
    keep_exploring: bool = False
    """beam: go on, past `stop_after` too, until the tree has at least one wrong and one right branch (or `max_depth`)."""
    subtrees: Annotated[int, Field(ge=1, le=64)] = 4
    """dvts: independent subtrees, each a greedy search of its own."""
    chains: Annotated[int, Field(ge=1, le=256)] = 8
    """best_of_n: whole solutions sampled."""
    simulations: Annotated[int, Field(ge=1, le=10_000)] = 32
    """mcts: selections from the root, each with its expansion and backed-up value."""
    exploration: Annotated[float, Field(ge=0)] = 1.4
    """mcts: weight of the term for what was visited seldom."""
    formula: Literal["uct", "puct"] = "uct"
    """mcts: `uct` treats children alike; `puct` prefers those that the policy sampled more often."""
    turns: Annotated[int, Field(ge=1, le=256)] = 24
    """propose_critique, debate: most actions of the policy."""
    critic: str | None = None
    """debate: the model that answers the policy's steps."""
    retries: Annotated[int, Field(ge=0, le=16)] = 2
    """How often a node is asked again for `width` steps while none of its steps may go on."""
    stop_after: Count | None = None
    """Stop once so many leaves verified; None: search on to the strategy's own end (debate: until the answer is right)."""
    reward: Reward = Reward()
    sampling: Sampling = Sampling(temperature=0.9, max_tokens=96)
    """`max_tokens` is a step's."""

    @model_validator(mode="after")
    def _parameters_fit(self) -> Self:
        """A parameter that the strategy would not look at is refused: who sets it believes that it does something."""
        for name in frozenset().union(*SEARCH_PARAMETERS.values()) - SEARCH_PARAMETERS[self.strategy]:
            if getattr(self, name) != type(self).model_fields[name].default:
                users = ", ".join(one for one, uses in SEARCH_PARAMETERS.items() if name in uses)
                raise ValueError(f"{name}: the strategy {self.strategy} does not use it (these do: {users})")
        if (self.strategy == "debate") != (self.critic is not None):
            raise ValueError("critic: the strategy debate needs one, and no other does")
        if self.sampling.temperature == 0 and {"width", "chains"} & SEARCH_PARAMETERS[self.strategy]:
            raise ValueError(f"sampling.temperature: at 0 all samples are equal, and {self.strategy} needs different ones")
        return self

    def references(self) -> Iterator[tuple[str, str]]:
        yield "policy", self.policy
        if self.critic:
            yield "critic", self.critic
        yield from ((f"reward.{field}", part.model) for field, part in self.reward.judges() if part.model is not None)

    def roles(self) -> dict[str, str]:
        critic = {"critic": self.critic} if self.critic else {}
        return {"policy": self.policy, **critic, **dict(self.reward.models())}


class EvalRewardStage(StageBase):
    """A reward measured on solutions whose steps people (or a generator) labelled."""

    kind: Literal["eval_reward"] = "eval_reward"
    service: ClassVar[Service] = Service.SEARCHER
    problems: str
    """Problems with labelled `steps`; those without are passed over and counted."""
    reward: Reward = Reward()
    policy: str | None = None
    """For `rollout`: the model that completes solutions."""
    max_depth: Annotated[int, Field(ge=1, le=64)] = 8
    """For `rollout`: steps of the longest solution, as a search would have it; a completion may take what is left of them."""
    sampling: Sampling = Sampling(temperature=0.9, max_tokens=96)
    """For `rollout`: `max_tokens` is a step's."""

    @model_validator(mode="after")
    def _policy_fits(self) -> Self:
        kinds = {self.reward.kind, *(part.kind for part in self.reward.parts)}
        if ("rollout" in kinds) != (self.policy is not None):
            raise ValueError("policy: the reward rollout needs one, and no other does")
        return self

    def references(self) -> Iterator[tuple[str, str]]:
        if self.policy:
            yield "policy", self.policy
        yield from ((f"reward.{field}", part.model) for field, part in self.reward.judges() if part.model is not None)

    def roles(self) -> dict[str, str]:
        policy = {"policy": self.policy} if self.policy else {}
        return {**policy, **dict(self.reward.models())}
