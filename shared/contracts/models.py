"""What a recipe names: models, problems, and how a model is sampled."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.contracts.base import Frozen

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class ModelSpec(Frozen):
    """A model by name or path (served by an engine of ours), or an OpenAI-compatible endpoint (`url`)."""

    model: Annotated[str, Field(min_length=1)]
    """`smollm2-135m-instruct`, a folder, a hub id; for an endpoint, the model name it expects."""
    url: Annotated[str | None, Field(pattern=r"^https?://")] = None
    """Base URL of an endpoint, `/v1` included."""
    api_key_env: Annotated[str | None, Field(pattern=r"^[A-Z][A-Z0-9_]*_API_KEY$")] = None
    """Name of the environment variable (on the worker) that holds the endpoint's key. Never the key itself. Only names that end
    with `_API_KEY`, and none of ours: a recipe must not be able to send a worker's other secrets to an address of its choice."""
    price_per_million: tuple[float, float] = (0.0, 0.0)
    """US dollars for a million prompt and completion tokens."""
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    """Limits of an endpoint, kept by each worker process for itself: with several distillers, give each its part."""
    max_concurrency: Count | None = None
    """Most requests out at once (64 if not given); fewer while the endpoint says that it is busy."""
    cache: bool = True
    """For an endpoint: answers are kept, and whoever asks the same for the same item again, in this run or the recipe's next, gets
    them at no cost."""
    max_model_len: Count | None = None
    engine: Literal["vllm", "transformers"] = "vllm"
    """Which engine of ours serves it; an endpoint (`url`) needs none."""
    prm: Literal["math-shepherd", "rlhflow", "skywork", "qwen2.5-math-prm", "longthought"] | None = None
    """For a process reward model: how it wants steps marked and its scores read out (`longthought`: as a training with method `prm`
    leaves it). It is served to score, not to write."""

    @model_validator(mode="after")
    def _key_is_not_ours(self) -> Self:
        if self.api_key_env and self.api_key_env.startswith("LONGTHOUGHT_"):
            raise ValueError("api_key_env: variables that begin with LONGTHOUGHT_ are this system's own")
        limits = [name for name in ("requests_per_minute", "tokens_per_minute", "max_concurrency") if getattr(self, name)]
        if limits and not self.url:
            raise ValueError(f"{limits[0]}: only an endpoint (a model with `url`) has limits; an engine of ours takes what it can")
        if self.prm and self.engine != "vllm":
            raise ValueError(f"prm: a process reward model is served by vllm, not by {self.engine}")
        return self


class ProblemSource(Frozen):
    """A stored problem set, or problems of a bundled generator."""

    set: str | None = None
    """Name of a set added with `longthought problems add`."""
    generator: Literal["arithmetic", "arithmetic-hard", "arithmetic-mixed", "arithmetic-labelled"] | None = None
    """`arithmetic`: word problems with worked solutions of 2 to 4 steps; `arithmetic-hard`: of 4 to 6, with larger numbers;
    `arithmetic-mixed`: one of either in turn; `arithmetic-labelled`: these with labelled solutions, most wrong."""
    seed: int = 0
    skip: Annotated[int, Field(ge=0)] = 0
    """Problems of the set (or of the generator's endless sequence of distinct problems) to pass over first."""
    count: Count | None = None
    """At most so many problems; a generator needs it."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.set is None) == (self.generator is None):
            raise ValueError("give either `set` or `generator`")
        if self.generator and self.count is None:
            raise ValueError("a generator needs `count`")
        return self

    @property
    def stored_as(self) -> str:
        """Name of the set in the ledger: a generator's problems are stored as a set of their own when a run is posted."""
        return self.set or f"{self.generator}.seed{self.seed}.{self.skip}-{self.skip + (self.count or 0)}"

    @property
    def first(self) -> int:
        """Place in the stored set of the first problem meant."""
        return self.skip if self.set else 0

    def asked(self, stored: int | None) -> int | None:
        """How many problems are meant, of a set of `stored` ones; None if neither tells (all of a set that is gone by now)."""
        if stored is None:
            return self.count
        there = max(0, stored - self.first)
        return there if self.count is None else min(there, self.count)


class Sampling(Frozen):
    """How a model is sampled."""

    temperature: Annotated[float, Field(ge=0, le=2)] = 0.8
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_tokens: Count = 512
