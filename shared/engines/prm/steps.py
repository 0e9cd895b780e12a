"""What a step is to whoever scores one, and how the scores of many become one value.

Searches sample a step a line, reward models are trained on such lines (`services/compiler/labels.py`), and a whole response is cut
into the same ones here.
"""

import math
from collections.abc import Sequence

from shared.contracts.rewards import Aggregate

STEP_END = "\n"


def steps_of(text: str) -> list[str]:
    """The steps of a whole solution: its lines that are not blank, white space around them taken off."""
    return [line.strip() for line in text.split(STEP_END) if line.strip()]


def aggregated(how: Aggregate, scores: Sequence[float]) -> float | None:
    """The scores of a path's steps as one value: `last`, `min`, `product` or `mean`; None of none."""
    if not scores:
        return None
    if how == "mean":
        return math.fsum(scores) / len(scores)
    return {"last": scores[-1], "min": min(scores), "product": math.prod(scores)}[how]
