"""Stages of the distiller."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from shared.contracts.base import Frozen
from shared.contracts.models import Count, Fraction, Sampling
from shared.contracts.stages.base import Service, StageBase


class ImportStage(StageBase):
    """Existing data as training samples, or labelled solutions as trees."""

    kind: Literal["import"] = "import"
    service: ClassVar[Service] = Service.DISTILLER
    problems: str
    format: Literal["solutions", "messages", "trees"] = "solutions"
    """`solutions`: worked solutions, brought into numbered steps. `messages`: chats, as they are (rows of `messages`).
    `trees`: labelled steps and their alternatives as off-policy trees (Part 1, Table 7), compiled as searched ones are."""


AnswerKind = Literal["integer", "decimal", "fraction", "expression", "interval", "choice", "text"]
"""As shared/answers/kinds.py tells them apart."""
CurationRule = Literal["image", "proof", "multi_part", "no_answer", "answer_kind"]
CURATION_RULES: tuple[CurationRule, ...] = ("image", "proof", "multi_part", "no_answer", "answer_kind")


class Difficulty(Frozen):
    """A band of a policy's measured pass rate: what it always or never solves teaches it little."""

    measured: str
    """An evaluate stage over the same problems, whose stored samples give the pass rates."""
    model: str | None = None
    """Which of its models; None where it has one."""
    at_least: Fraction = 0.1
    at_most: Fraction = 0.9

    @model_validator(mode="after")
    def _band_is_one(self) -> Self:
        if self.at_least > self.at_most:
            raise ValueError(f"at_least: {self.at_least} is above at_most, {self.at_most}: no problem is in such a band")
        return self


class Decontamination(Frozen):
    """What is also in a benchmark is dropped, so that nothing is trained on that is later measured."""

    against: Annotated[tuple[str, ...], Field(min_length=1)]
    """Problem sources of the recipe."""
    ngrams: Annotated[tuple[Count, ...], Field(min_length=1)] = (13, 8)
    """A problem falls when it shares one run of the longest of these numbers of words with a benchmark problem; a shorter run is
    often a common phrase, so of those it must share `share` (of the shorter text's) with one problem."""
    share: Fraction = 0.5
    likeness: Fraction = 0.9
    """Problems too short for the longest n-gram fall by exact normalised match, or by this likeness (1 less the normalised edit
    distance) to one with the same numbers."""


class CurateStage(StageBase):
    """Problems chosen by small named rules (Part 2, 2.1). What is dropped is recorded with the rule and its reason."""

    kind: Literal["curate"] = "curate"
    service: ClassVar[Service] = Service.DISTILLER
    problems: str
    rules: tuple[CurationRule, ...] = CURATION_RULES
    answer_kinds: Annotated[tuple[AnswerKind, ...], Field(min_length=1)] = ("integer", "decimal", "fraction")
    """For the rule `answer_kind`: the kinds kept."""
    difficulty: Difficulty | None = None
    near_duplicates: Annotated[float | None, Field(gt=0, lt=1)] = 0.8
    """Of problems with the same numbers whose words' 5-shingles are so alike (Jaccard, by MinHash), the first is kept; None: not
    looked for."""
    decontaminate: Decontamination | None = None
    count: Count | None = None
    """At most so many problems, the first that pass."""

    def references(self) -> Iterator[tuple[str, str]]:
        if self.difficulty:
            yield "difficulty.measured", self.difficulty.measured

    def sources(self) -> Iterator[tuple[str, str]]:
        yield from super().sources()
        for place, name in enumerate(self.decontaminate.against if self.decontaminate else ()):
            yield f"decontaminate.against.{place}", name


class ReformatStage(StageBase):
    r"""Reference solutions rewritten: step by step, detailed, longer, the answer in \boxed{} (Part 2, 2.1).

    Gives samples to train on.
    """

    kind: Literal["reformat"] = "reformat"
    service: ClassVar[Service] = Service.DISTILLER
    problems: str
    teacher: str
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """How often a rewrite that lost the answer, has no \boxed{} or is no longer than the original is asked for again. Then the
    original stays, and is counted."""
    sampling: Sampling = Sampling(temperature=0.7, max_tokens=2048)

    def references(self) -> Iterator[tuple[str, str]]:
        yield "teacher", self.teacher

    def roles(self) -> dict[str, str]:
        return {"teacher": self.teacher}


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


class SelectStage(StageBase):
    """Responses chosen from earlier stages' verified ones."""

    kind: Literal["select"] = "select"
    service: ClassVar[Service] = Service.DISTILLER
    responses: Annotated[tuple[str, ...], Field(min_length=1)]
    """Stages whose `response` records are chosen from; those that did not verify are passed over."""
    contains: tuple[str, ...] = (
        "wait",
        "alternatively",
        "let me check",
        "hmm",
        "actually",
        "mistake",
        "reconsider",
        "let me verify",
    )
    """Key n-grams of retrospection and self-reflection, compared without regard to case."""
    at_least: Annotated[int, Field(ge=0)] = 1
    """Occurrences of these n-grams that a response must have; 0: any response will do."""
    prefer: Literal["first", "longest", "shortest", "diverse"] = "first"
    """Which of a problem's responses are taken: in order of their draw, by length, or each time the one least like those taken."""
    per_problem: Count = 1

    def references(self) -> Iterator[tuple[str, str]]:
        for place, name in enumerate(self.responses):
            yield f"responses.{place}", name


class TranslateStage(StageBase):
    """Responses in another language, their mathematics untouched: formulae and the answer are compared before and after."""

    kind: Literal["translate"] = "translate"
    service: ClassVar[Service] = Service.DISTILLER
    responses: Annotated[tuple[str, ...], Field(min_length=1)]
    teacher: str
    language: Annotated[str, Field(min_length=2)] = "Chinese"
    """As a teacher understands it."""
    keep_originals: bool = True
    """Give the originals, too: a set of mixed languages (Part 2, section 5.2)."""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """How often a translation that changed a formula or the answer is asked for again; then it is passed over and counted."""
    sampling: Sampling = Sampling(temperature=0.3, max_tokens=4096)

    def references(self) -> Iterator[tuple[str, str]]:
        yield "teacher", self.teacher
        for place, name in enumerate(self.responses):
            yield f"responses.{place}", name

    def roles(self) -> dict[str, str]:
        return {"teacher": self.teacher}


class AnnotateStage(StageBase):
    """People's sketches of thoughts (a problem's `sketch`), expanded by a teacher: finer steps, pauses, a student's voice, nothing
    invented (Part 1, Q3). Every step of the sketch must survive, and the answer verify.
    """

    kind: Literal["annotate"] = "annotate"
    service: ClassVar[Service] = Service.DISTILLER
    problems: str
    """Problems with a `sketch`; those without are passed over and counted."""
    teacher: str
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """How often an expansion that lost a step or the answer is asked for again, told what it lost."""
    sampling: Sampling = Sampling(temperature=0.7, max_tokens=4096)

    def references(self) -> Iterator[tuple[str, str]]:
        yield "teacher", self.teacher

    def roles(self) -> dict[str, str]:
        return {"teacher": self.teacher}
