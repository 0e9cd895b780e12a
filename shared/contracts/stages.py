"""Stages: what a recipe can do, one class a kind, and the service that does it."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from shared.contracts.base import Frozen
from shared.contracts.models import Count, Fraction, Name, Sampling
from shared.contracts.rewards import Reward


class Service(StrEnum):
    """The queues: one per service that does work items."""

    DISTILLER = "distiller"
    SEARCHER = "searcher"
    COMPILER = "compiler"
    TRAINER = "trainer"
    EVALUATOR = "evaluator"


class StageBase(Frozen):
    """What all stages share."""

    service: ClassVar[Service]
    needs: tuple[Name, ...] = ()
    """Further stages to wait for, beyond those this stage names anyway."""
    max_attempts: Annotated[int, Field(ge=1, le=20)] = 3
    max_dead: Annotated[int, Field(ge=0)] = 0
    """Dead items with which the stage still counts as done."""
    deadline_seconds: Annotated[float, Field(gt=0)] = 3600
    """After so long in one worker's hands an item is given up as hung."""

    def references(self) -> Iterator[tuple[str, str]]:
        """Pairs of field name and the stage or model it names."""
        yield from ()

    def roles(self) -> dict[str, str]:
        """Role -> name of the model or train stage that plays it while the stage's items run. Empty: no engine."""
        return {}


class ImportStage(StageBase):
    """Existing data as training samples: a problem set's own worked solutions or chats."""

    kind: Literal["import"] = "import"
    service: ClassVar[Service] = Service.DISTILLER
    problems: str
    format: Literal["solutions", "messages"] = "solutions"
    """`solutions`: worked solutions, brought into numbered steps. `messages`: chats, as they are (rows of `messages`)."""


class DistillStage(StageBase):
    """Rejection sampling: `samples` answers a problem from a teacher, verified ones kept."""

    kind: Literal["distill"] = "distill"
    service: ClassVar[Service] = Service.DISTILLER
    problems: str
    teacher: str
    samples: Count = 4
    accept: Count | None = None
    """Stop early once so many samples of a problem verified."""
    sampling: Sampling = Sampling(temperature=0.7, max_tokens=2048)

    @model_validator(mode="after")
    def _accept_can_be_reached(self) -> Self:
        if self.accept is not None and self.accept > self.samples:
            raise ValueError(f"accept: {self.accept} of {self.samples} samples can never verify: give at most `samples`")
        return self

    def references(self) -> Iterator[tuple[str, str]]:
        yield "teacher", self.teacher

    def roles(self) -> dict[str, str]:
        return {"teacher": self.teacher}


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


class Refiner(Frozen):
    """How a draft becomes a thought."""

    kind: Literal["template", "llm"] = "template"
    model: str | None = None
    """For `llm`: the model that rewrites."""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    sampling: Sampling = Sampling(temperature=0.7, max_tokens=2048)

    @model_validator(mode="after")
    def _llm_has_model(self) -> Self:
        if (self.kind == "llm") != (self.model is not None):
            raise ValueError("`model` goes with kind `llm`, and only there")
        return self


class CompileStage(StageBase):
    """Trees (and responses) into long thoughts, shortcuts and pairs, exported as a dataset."""

    kind: Literal["compile"] = "compile"
    service: ClassVar[Service] = Service.COMPILER
    trees: str
    """The search stage whose trees are compiled."""
    wrong_trials: Annotated[int, Field(ge=0, le=8)] = 1
    """Most wrong turns at one node of the correct path."""
    trial_share: Fraction = 0.3
    """Chance that such a node tries its wrong turns, the one apart that every thought takes which is not clean; 1: all try."""
    stop_at_wrong: bool = True
    """A wrong turn ends at the first step judged wrong, not only at a leaf."""
    thoughts_per_tree: Count = 1
    clean_share: Fraction = 0.25
    """Share of thoughts compiled without wrong trials although the tree has some (traps: a set of nothing but slips teaches
    slips).
    """
    verify_share: Fraction = 0.5
    """Share of thoughts that re-check right steps or the answer."""
    test_share: Fraction = 0.0
    """Share of *problems* whose records go to the test split."""
    refiner: Refiner = Refiner()

    def references(self) -> Iterator[tuple[str, str]]:
        yield "trees", self.trees
        if self.refiner.model:
            yield "refiner.model", self.refiner.model

    def roles(self) -> dict[str, str]:
        return {"refiner": self.refiner.model} if self.refiner.model else {}


class TrainStage(StageBase):
    """One training: a base model and a dataset into a checkpoint."""

    kind: Literal["train"] = "train"
    service: ClassVar[Service] = Service.TRAINER
    method: Literal["sft"] = "sft"
    base: str
    data: str
    """The stage whose records are trained on."""
    config: Literal["sft", "journey", "shortcut"] = "sft"
    """Which of its records: `sft` (imported examples, teachers' responses), `journey` (long thoughts) or `shortcut`."""
    match_counts: bool = True
    """journey/shortcut: train on problems that have both, equally many of each, so that the comparison is fair."""
    epochs: Annotated[float, Field(gt=0)] = 1
    learning_rate: Annotated[float, Field(gt=0)] = 1e-5
    batch_size: Count = 8
    """Samples an optimiser step, over all devices."""
    micro_batch_size: Count | None = None
    max_length: Count = 1024
    warmup_share: Fraction = 0.03
    save_steps: Count = 20
    processes: Count = 1
    max_samples: Count | None = None
    seed: int = 0
    deadline_seconds: Annotated[float, Field(gt=0)] = 7 * 24 * 3600

    def references(self) -> Iterator[tuple[str, str]]:
        yield "base", self.base
        yield "data", self.data


class EvaluateStage(StageBase):
    """Models measured on problems under one set of conditions."""

    kind: Literal["evaluate"] = "evaluate"
    service: ClassVar[Service] = Service.EVALUATOR
    models: Annotated[tuple[str, ...], Field(min_length=1)]
    problems: str
    samples: Count = 2
    sampling: Sampling = Sampling(temperature=0.8, max_tokens=512)
    keywords: tuple[str, ...] = ("wait", "alternatively")

    @model_validator(mode="after")
    def _each_model_once(self) -> Self:
        if twice := sorted({model for model in self.models if self.models.count(model) > 1}):
            raise ValueError(f"models: `{twice[0]}` is named more than once")
        return self

    def references(self) -> Iterator[tuple[str, str]]:
        for place, model in enumerate(self.models):
            yield f"models.{place}", model


Stage = Annotated[
    ImportStage | DistillStage | SearchStage | EvalRewardStage | CompileStage | TrainStage | EvaluateStage,
    Field(discriminator="kind"),
]
