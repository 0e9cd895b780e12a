"""What the searcher's tests share."""

import pytest

from shared.contracts.problem import Problem


@pytest.fixture
def problem() -> Problem:
    return Problem(id="p1", question="Tom has 5 boxes of 6 pens. He loses 4. How many pens are left?", answer="26", source="test")
