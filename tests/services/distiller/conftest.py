"""The teacher's server."""

import pytest

from tests.shared.engines.scripted import scripted_server


@pytest.fixture
def server():
    with scripted_server() as script:
        yield script
