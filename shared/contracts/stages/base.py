"""What all stages share, and the services that do them."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from shared.contracts.base import Frozen
from shared.contracts.models import Name


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

    def sources(self) -> Iterator[tuple[str, str]]:
        """Pairs of field name and the problem source (or curate stage) it names."""
        if (problems := getattr(self, "problems", None)) is not None:
            yield "problems", problems
