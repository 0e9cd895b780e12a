"""A tree to compile."""

import pytest

from tests.services.compiler.growing import PENS, build


@pytest.fixture
def pens():
    return build(PENS)
