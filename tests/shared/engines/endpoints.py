"""Endpoints of a scripted server, as tests ask them."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from shared.contracts.base import Message
from shared.contracts.models import Sampling
from shared.engines.client import (
    Endpoint,
)
from shared.engines.transport import Patience, Server
from shared.ledger.records import UsageRow
from tests.shared.engines.banks import OpenBank
from tests.shared.engines.scripted import Scripted, scripted_server

QUICK = Patience(attempts=4, first_wait=0.001, longest_wait=0.01, busy_seconds=5.0, connect_seconds=0.05)
SAMPLING = Sampling(temperature=0.5, top_p=0.9, max_tokens=7)
HELLO = [Message(role="user", content="Hello")]
KEY = "sk-very-secret"


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted_server() as script:
        yield script


@pytest.fixture
async def hosted(server: Scripted) -> AsyncIterator[Endpoint]:
    connection = Server(server.url, KEY, QUICK)
    yield Endpoint(connection, "gpt", uri="gpt", engine=server.url, price_per_million=(2.0, 10.0))
    await connection.close()


@pytest.fixture
async def local(server: Scripted) -> AsyncIterator[Endpoint]:
    connection = Server(server.url, patience=QUICK, is_local=True)
    yield Endpoint(connection, "small", uri="small", engine="vllm 1 (cpu)")
    await connection.close()


def recorder() -> tuple[list[UsageRow], Any]:
    bank = OpenBank()
    return bank.rows, bank
