"""Stages of the trainer and the evaluator."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from shared.contracts.base import Frozen
from shared.contracts.models import Count, Fraction, Name, Sampling
from shared.contracts.rewards import Aggregate
from shared.contracts.stages.base import Service, StageBase


class Lora(Frozen):
    """A low-rank adapter in place of all weights (arXiv 2106.09685); with `quantised`, over a base in 4 bits (arXiv 2305.14314)."""

    rank: Count = 16
    alpha: Annotated[float, Field(gt=0)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    quantised: bool = False
    """Hold the base in 4 bits (NF4): needs a CUDA device and bitsandbytes."""
    merge: bool = True
    """Merge the adapter into the base when the training is done, so that engines serve the checkpoint as any other. False: the
    checkpoint is the adapter alone, and no stage may use it as a model."""


Method = Literal["sft", "dpo", "prm", "grpo"]
Config = Literal["sft", "journey", "shortcut", "preference", "prm"]
OF_METHOD: dict[str, frozenset[str]] = {
    "beta": frozenset({"dpo", "grpo"}),
    "packing": frozenset({"sft"}),
    "learn_wrong_steps": frozenset({"sft"}),
    "tokens_of": frozenset({"sft"}),
    "generations": frozenset({"grpo"}),
    "rollout": frozenset({"grpo"}),
}
"""Parameter of a train stage -> the methods that use it; all others are used by all."""


class TrainStage(StageBase):
    """One training: a base model and a dataset into a checkpoint.

    | method | learns | from `config` |
    |---|---|---|
    | sft | to write completions | sft, journey, shortcut |
    | dpo | to prefer one completion over another (arXiv 2305.18290) | preference |
    | prm | to judge steps: a token classifier | prm |
    | grpo | from verified answers to its own samples (arXiv 2402.03300) | sft, journey, shortcut: their questions and answers |
    """

    kind: Literal["train"] = "train"
    service: ClassVar[Service] = Service.TRAINER
    method: Method = "sft"
    base: str
    data: str
    """The stage whose records are trained on."""
    config: Config = "sft"
    """Which of its records: `sft` (imported examples, teachers' responses), `journey` (long thoughts), `shortcut`, `preference`
    (pairs) or `prm` (labelled steps)."""
    match_counts: bool = True
    """journey/shortcut: train on problems that have both, equally many of each, so that the comparison is fair."""
    tokens_of: str | None = None
    """An earlier train stage: train for as many epochs as make this one see as many tokens as that one did, instead of `epochs`."""
    learn_wrong_steps: bool = True
    """journey: False takes the loss off wrong steps: they are read, not learned."""
    epochs: Annotated[float, Field(gt=0)] = 1
    learning_rate: Annotated[float, Field(gt=0)] = 1e-5
    batch_size: Count = 8
    """Samples (dpo: pairs; grpo: completions) an optimiser step, over all devices."""
    micro_batch_size: Count | None = None
    max_length: Count = 1024
    """Tokens of prompt and completion; longer samples are left out and counted."""
    packing: bool = False
    """Samples of a micro-batch in one row, no padding between them; attention keeps them apart."""
    lora: Lora | None = None
    gradient_checkpointing: bool | None = None
    """None: on GPUs."""
    beta: Annotated[float | None, Field(ge=0)] = None
    """dpo: how much the reference holds back (0.1 if not given); grpo: weight of the divergence from the base (0)."""
    generations: Annotated[int, Field(ge=2)] = 8
    """grpo: completions of one question, which are compared with each other."""
    rollout: Sampling = Sampling(temperature=1.0, max_tokens=256)
    """grpo: how they are sampled."""
    accelerate: Annotated[str | None, Field(pattern=r"^[a-z0-9_-]+$")] = None
    """Shard over the processes by `recipes/accelerate/NAME.yaml`: `fsdp`, `zero3`, or a file of your own. None: every process has
    the whole model."""
    warmup_share: Fraction = 0.03
    save_steps: Count = 20
    processes: Count = 1
    max_samples: Count | None = None
    seed: int = 0
    deadline_seconds: Annotated[float, Field(gt=0)] = 7 * 24 * 3600

    @model_validator(mode="after")
    def _parameters_fit(self) -> Self:
        """A parameter that the method would not look at is refused, and so is what can only fail once a device is taken."""
        for name, users in OF_METHOD.items():
            if self.method not in users and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: the method {self.method} does not use it (these do: {', '.join(sorted(users))})")
        wanted = {"dpo": ("preference",), "prm": ("prm",)}.get(self.method, ("sft", "journey", "shortcut"))
        if self.config not in wanted:
            raise ValueError(f"config: the method {self.method} trains on {' or '.join(wanted)}, not on `{self.config}`")
        if not self.learn_wrong_steps and self.config != "journey":
            raise ValueError(f"learn_wrong_steps: only `journey` has wrong steps, not `{self.config}`")
        share, rest = divmod(self.batch_size, self.processes)
        if rest:
            raise ValueError(f"batch_size: {self.batch_size} cannot be shared by {self.processes} processes: make it a multiple")
        if self.micro_batch_size and share % self.micro_batch_size:
            raise ValueError(f"micro_batch_size: {self.micro_batch_size} does not divide a process's share of the batch, {share}")
        if self.method == "grpo" and self.batch_size % self.generations:
            raise ValueError(f"batch_size: {self.batch_size} completions are not whole groups of `generations`, {self.generations}")
        if self.method == "grpo" and (self.rollout.temperature == 0 or self.rollout.max_tokens >= self.max_length):
            raise ValueError(
                "rollout: it needs a temperature above 0, and max_tokens below max_length, which holds the question too"
            )
        if self.method == "dpo" and self.beta == 0:
            raise ValueError("beta: at 0 neither side of a pair is preferred, and dpo learns nothing")
        if self.lora and self.accelerate == "zero3":
            raise ValueError("lora: an adapter is not sharded by zero3 here: use fsdp, or leave one of the two out")
        if self.accelerate and self.processes == 1:
            raise ValueError(f"accelerate: `{self.accelerate}` shards over several processes, and there is one: set `processes`")
        return self

    def references(self) -> Iterator[tuple[str, str]]:
        yield "base", self.base
        yield "data", self.data
        if self.tokens_of:
            yield "tokens_of", self.tokens_of


class PickStage(StageBase):
    """The best of several trainings, by what an evaluate stage measured on problems that no later stage reports on."""

    kind: Literal["pick"] = "pick"
    service: ClassVar[Service] = Service.EVALUATOR
    measured: str
    """The evaluate stage."""
    models: Annotated[tuple[str, ...], Field(min_length=1)]
    """The trainings to choose among, of one method and from one base. Of equally good ones the one with fewer output tokens, then
    the first."""

    def references(self) -> Iterator[tuple[str, str]]:
        yield "measured", self.measured
        yield from ((f"models.{place}", model) for place, model in enumerate(self.models))


class RetrainStage(StageBase):
    """The training that a `pick` stage chose, once more: all its settings but those given here.

    With that training's own seed, budget and data it is that training: its checkpoint, and nothing is trained twice.
    """

    kind: Literal["retrain"] = "retrain"
    service: ClassVar[Service] = Service.TRAINER
    like: str
    """The pick stage."""
    seed: int
    tokens_of: str | None = None
    """As a train stage's."""
    data: str | None = None
    """The stage whose records are trained on in place of that training's: what another dataset teaches, under equal settings."""
    deadline_seconds: Annotated[float, Field(gt=0)] = 7 * 24 * 3600

    def of(self, picked: TrainStage) -> TrainStage:
        """The training picked, with what is given here."""
        given = {"tokens_of": self.tokens_of or picked.tokens_of, "data": self.data or picked.data}
        return picked.model_copy(update={"seed": self.seed, **given})

    def references(self) -> Iterator[tuple[str, str]]:
        yield "like", self.like
        if self.tokens_of:
            yield "tokens_of", self.tokens_of
        if self.data:
            yield "data", self.data


class Regrade(Frozen):
    """An evaluation of an earlier run, whose stored samples are graded anew."""

    run: Annotated[str, Field(min_length=1, max_length=300)]
    """The earlier run's id."""
    stage: Name
    """Its evaluate stage."""


class EvaluateStage(StageBase):
    """Models measured on problems under one set of conditions.

    With `regrade` no model is asked: the samples, and the conditions that they were drawn under, are an earlier run's. `models`
    then says which of the models measured there (none named: all), and `problems` holds their problems, found by id. Step scores
    stay as they were stored; `reward_aggregate` makes other weights of them.
    """

    kind: Literal["evaluate"] = "evaluate"
    service: ClassVar[Service] = Service.EVALUATOR
    models: tuple[str, ...] = ()
    problems: str
    regrade: Regrade | None = None
    samples: Count = 2
    sampling: Sampling = Sampling(temperature=0.8, max_tokens=512)
    budget: Count | None = None
    """Budget forcing (s1, arXiv 2501.19393, section 3): a response that has not ended after so many tokens is cut there and made to
    state its answer."""
    answer_tokens: Count = 32
    """budget: tokens that the answer may then take."""
    waits: Annotated[int, Field(ge=0, le=100)] = 0
    """Budget forcing, the other way: so many times, a response that ends has its last line taken off and goes on behind "Wait",
    as long as tokens are left."""
    keywords: tuple[str, ...] = ("wait", "alternatively")
    judge: str | None = None
    """The model that judges answers to problems whose grading is a judge's."""
    judge_sampling: Sampling = Sampling(temperature=0.0, max_tokens=512)
    """The judge's; one that thinks before it answers needs more tokens."""
    reward: str | None = None
    """A process reward model (a model with `prm`, or a training with method `prm`) that scores every response line by line: beside
    Maj@k, the majority is taken of votes weighted by it (arXiv 2206.02336, 2211.14275)."""
    reward_aggregate: Aggregate | None = None
    """How the scores of a response's lines become its weight: `min` if not given (as in Math-Shepherd, arXiv 2312.08935); with
    `regrade`, as it was."""

    @model_validator(mode="after")
    def _regrading_samples_nothing(self) -> Self:
        """Models are asked, or an earlier run's samples are read: what belongs to the one is refused in the other."""
        if self.regrade is None and not self.models:
            raise ValueError("models: is missing: name what is to be measured")
        if self.regrade is not None:
            fixed = ("samples", "sampling", "budget", "answer_tokens", "waits", "judge", "judge_sampling", "reward")
            given = [name for name in fixed if getattr(self, name) != type(self).model_fields[name].default]
            if given:
                kept = "the scores of steps" if given[0] == "reward" else "the samples"
                raise ValueError(f"{given[0]}: a stage with `regrade` asks no model: {kept} are those of the earlier run")
        return self

    @model_validator(mode="after")
    def _reward_weighs_votes(self) -> Self:
        if self.reward and self.samples == 1:
            raise ValueError("reward: it weighs votes against each other, and one sample a problem has none: raise `samples`")
        if self.reward_aggregate and not (self.reward or self.regrade):
            raise ValueError("reward_aggregate: there are no scores to make weights of: name a `reward`")
        return self

    @model_validator(mode="after")
    def _each_model_once(self) -> Self:
        if twice := sorted({model for model in self.models if self.models.count(model) > 1}):
            raise ValueError(f"models: `{twice[0]}` is named more than once")
        return self

    @model_validator(mode="after")
    def _budget_fits(self) -> Self:
        if self.budget is None and self.answer_tokens != type(self).model_fields["answer_tokens"].default:
            raise ValueError("answer_tokens: only a response that is cut at a `budget` is made to answer: set one")
        whole = (self.budget or 0) + self.answer_tokens
        if self.budget and whole > self.sampling.max_tokens:
            raise ValueError(
                f"budget: {self.budget} and answer_tokens, {self.answer_tokens}, are {whole} together, and sampling.max_tokens is "
                f"{self.sampling.max_tokens}: lower the one, or raise the other"
            )
        return self

    def asks(self) -> tuple[str, ...]:
        """The models that are sampled: names of the recipe. None with `regrade`, where the names are the earlier run's."""
        return () if self.regrade else self.models

    def references(self) -> Iterator[tuple[str, str]]:
        for place, model in enumerate(self.asks()):
            yield f"models.{place}", model
        if self.judge:
            yield "judge", self.judge
        if self.reward:
            yield "reward", self.reward

    def roles(self) -> dict[str, str]:
        played = {"judge": self.judge, "reward": self.reward}
        return {role: name for role, name in played.items() if name}

    @property
    def weighs_by(self) -> Aggregate:
        """How scores become a weight."""
        return self.reward_aggregate or "min"
