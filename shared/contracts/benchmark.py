"""Benchmark: where the problems of a benchmark come from, how its rows are read, and how its answers are graded.

```yaml
name: medqa
title: MedQA
source: https://github.com/jind11/MedQA
hub: {id: GBaker/MedQA-USMLE-4-options, split: test}
mapping: {question: question, choices: options, answer: answer_idx, subject: {constant: medicine}}
grading: {kind: letter}
```
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.contracts.base import Frozen
from shared.contracts.grading import Grading
from shared.contracts.models import Count, Name, ProblemSource
from shared.contracts.problem import Scalar

Text = Annotated[str, Field(min_length=1)]


class Constant(Frozen):
    """The same for every row."""

    constant: Scalar


class Hub(Frozen):
    """Rows of a dataset on the Hugging Face hub."""

    id: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    config: str | None = None
    split: Text
    revision: str | None = None
    """A commit, a tag or a branch; the newest state without."""


class Mapping(Frozen):
    """Which field of a row is what. A dot leads inwards: `conversations.0` is the first element of a list."""

    question: Text
    answer: Text | Constant | None = None
    """The known answer; only a judge may do without. A row may lack it where the rubric does not compare answers with it."""
    answer_as: Literal["letter", "index", "number", "text"] = "letter"
    """How a right choice is named: `B`, 1 (counted from 0), 2 (counted from 1), or by its text."""
    choices: Text | Annotated[tuple[Text, ...], Field(min_length=2)] | None = None
    """One field that holds them all (a list, or texts by letter), or a field each; empty ones are passed over at the end."""
    solution: Text | None = None
    subject: Text | Constant | None = None
    level: Text | Constant | None = None
    """A whole number, or words with one: `Level 3`."""
    id: Text | None = None
    """Without one, a digest of question and choices; rows that repeat an earlier one are then left out."""


class Benchmark(Frozen):
    """A benchmark. Its rows are made (`generator`), read as a publisher is known to write them (`publisher`), or mapped."""

    name: Name
    title: Text
    about: str = ""
    source: str = ""
    """A web address."""
    paper: str = ""
    """As `arXiv 2110.14168`."""
    size: Count | None = None
    """Its rows, where known."""
    hub: Hub | None = None
    """None: not known to be there; its rows are given as a file."""
    generator: ProblemSource | None = None
    publisher: Literal["gsm8k", "math", "aime"] | None = None
    mapping: Mapping | None = None
    grading: Grading = Grading()

    @model_validator(mode="after")
    def _rows_can_be_read(self) -> Self:
        if sum(given is not None for given in (self.generator, self.publisher, self.mapping)) != 1:
            raise ValueError("give one of `mapping`, `publisher` and `generator`")
        if self.generator is not None and (self.generator.generator is None or self.hub is not None):
            raise ValueError("generator: names a bundled generator, and then there is no `hub`")
        if self.mapping is None:
            if self.grading != Grading():
                raise ValueError("grading: rows of a publisher or a generator are graded by their answers")
            return self
        if (self.mapping.choices is not None) != (self.grading.kind == "letter"):
            raise ValueError("mapping.choices: goes with a grading of kind `letter`, which needs it")
        if self.mapping.answer is None and self.grading.kind != "judge":
            raise ValueError("mapping.answer: only a judge can do without")
        if self.mapping.answer_as != "letter" and self.grading.kind != "letter":
            raise ValueError("mapping.answer_as: goes with a grading of kind `letter`")
        return self
