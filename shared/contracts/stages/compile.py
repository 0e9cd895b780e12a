"""The stage of the compiler."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from shared.contracts.base import Frozen
from shared.contracts.models import Count, Fraction, Sampling
from shared.contracts.stages.base import Service, StageBase


class Refiner(Frozen):
    """How a draft becomes a thought."""

    kind: Literal["template", "llm"] = "template"
    model: str | None = None
    """For `llm`: the model that rewrites."""
    wording: Literal["varied", "plain"] = "varied"
    """The template's words: many ways to say each thing, or one."""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """How often a rewrite that fails its checks is asked for again, told why; then the template does it."""
    min_length: Annotated[float, Field(gt=0)] = 0.6
    max_length: Annotated[float, Field(gt=0)] = 4.0
    """Of a rewrite, as multiples of its draft's characters."""
    reflect: bool = True
    """For `llm`: ask the model what was wrong with a wrong turn where the tree holds no reason in words."""
    sampling: Sampling = Sampling(temperature=0.7, max_tokens=2048)

    @model_validator(mode="after")
    def _llm_has_model(self) -> Self:
        if (self.kind == "llm") != (self.model is not None):
            raise ValueError("`model` goes with kind `llm`, and only there")
        if self.min_length > self.max_length:
            raise ValueError(f"min_length: {self.min_length} is above max_length, {self.max_length}: nothing is of such a length")
        return self


class ResponsePairs(Frozen):
    """DPO pairs from a problem's responses (Part 1, Q8): right and wrong ones drawn at random, paired."""

    right: Count = 5
    """Right responses drawn a problem; a problem with fewer is passed over and counted."""
    wrong: Count = 5
    pairs: Count = 5
    """Pairs made of them: each drawn response stands in as few pairs as can be."""

    @model_validator(mode="after")
    def _there_are_so_many(self) -> Self:
        if self.pairs > self.right * self.wrong:
            raise ValueError(
                f"pairs: {self.right} right and {self.wrong} wrong responses make no more than {self.right * self.wrong}"
            )
        return self


class CompileStage(StageBase):
    """Trees into long thoughts, shortcuts, pairs and step labels; responses into samples and pairs. Exported as one dataset."""

    kind: Literal["compile"] = "compile"
    service: ClassVar[Service] = Service.COMPILER
    trees: str | None = None
    """The stage whose trees are compiled: a search, or an import of format `trees`."""
    data: tuple[str, ...] = ()
    """Stages whose verified responses and examples become the configuration `sft`."""
    response_pairs: ResponsePairs | None = None
    """Pairs from the responses of `data`, right and wrong, as the configuration `preference` (beside the trees' own)."""
    step_labels: Literal["none", "verdicts", "values"] = "none"
    """Process reward data from the trees, as the configuration `prm`: by the judge's verdicts, or by rollout values (right where
    a verified leaf was ever reached)."""
    wrong_trials: Annotated[int, Field(ge=0, le=8)] = 1
    """Most wrong turns at one node of the correct path."""
    trial_share: Fraction | Literal["natural"] = 0.3
    """Chance that such a node tries its wrong turns, the one apart that every thought takes which is not clean; 1: all try.
    `natural`: the share of the policy's own samples at that node which can go wrong, and a thought may take none
    (of several thoughts of a tree those that walk alike count once, so that wrong turns are more of them)."""
    stop_at_wrong: bool = True
    """A wrong turn ends at the first step judged wrong, not only at a leaf."""
    wrong_depth: Count | None = None
    """Most steps of a wrong turn: one that goes wrong only later is not taken, and one that wandered on is cut there."""
    without_wrong_branch: Literal["clean", "pass_over"] = "clean"
    """What becomes of a tree without a wrong turn that could be taken: a clean thought (counted), or nothing (counted, too)."""
    thoughts_per_tree: Count = 1
    clean_share: Fraction = 0.25
    """Share of thoughts compiled without wrong trials although the tree has some (traps: a set of nothing but slips teaches
    slips).
    """
    verify_share: Fraction = 0.5
    """Share of thoughts that re-check right steps."""
    verify_steps: Literal["some", "all"] = "some"
    """Which of its right steps such a thought re-checks: one or two, or every one that states an equality."""
    checks: Literal["stated", "worked"] = "stated"
    """What a check says, of right steps and of wrong ones: the equality, or the way to it in parts (differences and quotients by
    the inverse operation): `21 + 20 = 41, 41 + 7 = 48`."""
    test_share: Fraction = 0.0
    """Share of *problems* whose records go to the test split."""
    refiner: Refiner = Refiner()

    @model_validator(mode="after")
    def _has_something_to_compile(self) -> Self:
        if self.trees is None and not self.data:
            raise ValueError("give `trees`, `data`, or both: there is nothing to compile")
        if self.response_pairs and not self.data:
            raise ValueError("response_pairs: they are made of responses: name the stages that gave them in `data`")
        if self.step_labels != "none" and self.trees is None:
            raise ValueError("step_labels: they are made of trees: name the stage that gave them in `trees`")
        return self

    def references(self) -> Iterator[tuple[str, str]]:
        if self.trees is not None:
            yield "trees", self.trees
        for place, name in enumerate(self.data):
            yield f"data.{place}", name
        if self.refiner.model:
            yield "refiner.model", self.refiner.model

    def roles(self) -> dict[str, str]:
        return {"refiner": self.refiner.model} if self.refiner.model else {}
