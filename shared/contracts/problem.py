"""Problem: a question with a known final answer."""

from typing import Annotated

from pydantic import Field

from shared.contracts.base import Record

Scalar = str | int | float | bool


class Problem(Record):
    """A question with a known final answer.

    `id` is unique within its problem set; `solution` is the publisher's worked solution, one step per line where it has steps.
    """

    id: Annotated[str, Field(min_length=1, max_length=200)]
    question: Annotated[str, Field(min_length=1)]
    answer: Annotated[str, Field(min_length=1)]
    solution: str | None = None
    source: str = ""
    """The publisher's name: `gsm8k`, `math`, `aime`, `arithmetic` ..."""
    subject: str | None = None
    level: int | None = None
    metadata: dict[str, Scalar] = {}
