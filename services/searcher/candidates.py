"""Candidates: proposed steps on their way into a tree, and what a reward says of them."""

import asyncio
import re
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from shared.contracts.tree import Verdict

if TYPE_CHECKING:
    from services.searcher.growth import Growth

T = TypeVar("T")


class Rule(StrEnum):
    """How a reward's judgement prunes a round (method: section 1)."""

    SCORED = "scored"
    """Keep the highest scores."""
    JUDGED = "judged"
    """Keep steps that were not called incorrect."""


@dataclass(frozen=True)
class Judgement:
    """What a reward says of one step."""

    score: float | None
    verdict: Verdict
    reason: str | None = None


@dataclass
class Candidate:
    """A proposed step on its way to becoming a node."""

    parent: int
    text: str
    token_ids: tuple[int, ...] = ()
    tokens: int = 0
    multiplicity: int = 1
    ended: Literal["no_answer"] | None = None
    final: bool = False
    answer: str | None = None
    verified: bool | None = None
    judgement: Judgement = Judgement(None, Verdict.UNKNOWN)
    kept: bool = True
    visits: int = 0
    value: float | None = None
    spills: bool = False
    """Its last token begins the next line, too (`Sampled.spills`)."""

    @property
    def open(self) -> bool:
        """Whether it could be expanded."""
        return not self.final and self.ended is None


class Judge(Protocol):
    """A kind of reward (one file each in `rewards/`)."""

    rule: Rule
    spent: Counter[str]
    """`reward_tokens` and `format_errors` so far."""

    async def judge(self, growth: "Growth", candidates: Sequence[Candidate]) -> list[Judgement]:
        """One judgement a candidate, in order: all candidates of a round in one call, already checked for final answers."""


def normalised(text: str) -> str:
    """What makes two sibling steps equal: their words, apart from case, spacing and the kind of apostrophe."""
    return re.sub(r"\s+", " ", text).strip().casefold().replace("’", "'")


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Results of coroutines run at once, in order. The first failure cancels the others and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
