"""What tests of all rooms share: a ledger, one real engine for those that need one (`@pytest.mark.engine`), disks that fill up."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from shared.engines import quickstart
from shared.engines.client import Endpoint
from shared.engines.local import LocalServer, Plan
from shared.engines.transport import LOCAL, Server
from shared.ledger.database import Ledger
from tests.disks import SmallDisk

ENGINE_TEST_SECONDS = 600
"""A start takes half a minute on two free cores, and more on busy ones; the first converts the model."""

# how long an example takes, or its making, says what else the machine does
hypothesis.settings.register_profile("longthought", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("longthought")


def pytest_configure() -> None:
    """A console that is made while COLUMNS is set keeps that width. Processes of `make test` have it; tests of tables set it."""
    os.environ.pop("COLUMNS", None)


SHARED = {"smollm_engine", "stack"}
"""Fixtures that are made once a process, and take long."""


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make test` runs two processes: all that shares an engine or a house goes into one of them; the rest by files, those that
    start engines of their own first.
    """
    for item in items:
        shares = SHARED & set(getattr(item, "fixturenames", ()))
        item.add_marker(pytest.mark.xdist_group("engines" if shares else item.nodeid.partition("::")[0]))
        if item.get_closest_marker("engine") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(ENGINE_TEST_SECONDS))
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    if item.get_closest_marker("xdist_group").args[0] == "engines":
        return 0
    return 1 if item.get_closest_marker("engine") or item.get_closest_marker("system") else 2


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger. A folder of tests that all need the same in it puts that in by a fixture of this name."""
    made = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    made.migrate()
    yield made
    made.close()


@pytest.fixture(scope="session")
def smollm_engine() -> Iterator[LocalServer]:
    """SmolLM2 on a real vLLM, started once for all tests."""
    server = LocalServer(Plan(quickstart.NAME, quickstart.quickstart_model(), max_model_len=2048))
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture
async def smollm_endpoint(smollm_engine: LocalServer, request: pytest.FixtureRequest) -> AsyncIterator[Endpoint]:
    """Its client, with connections of this test's event loop. Mark the test with `engine`."""
    assert request.node.get_closest_marker("engine"), f"{request.node.nodeid} uses a real engine: mark it with @pytest.mark.engine"
    connection = Server(smollm_engine.url, patience=LOCAL, is_local=True, why_gone=smollm_engine.gone)
    like = smollm_engine.endpoint()
    yield Endpoint(connection, like.model, uri=like.uri, engine=like.engine)
    await connection.close()


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path], SmallDisk]]:
    """Mounts a small disk over a folder, until the test is over."""
    mounted: list[SmallDisk] = []

    def mount(folder: Path) -> SmallDisk:
        mounted.append(SmallDisk(folder))
        return mounted[-1]

    yield mount
    for disk in mounted:
        disk.unmount()
