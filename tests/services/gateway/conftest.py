"""A gateway on a ledger of its own, in this process; and one behind a real socket."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from services.gateway.app import create_app
from services.gateway.main import Server
from shared.ledger.database import Ledger
from shared.ledger.items import NewItem, NewRecord, Result, claim, commit
from shared.ledger.opening import open_stage
from shared.ledger.problems import store_set
from shared.ledger.runs import close_stage, move_run
from shared.ledger.tables import RunState, StageState
from shared.settings import settings

KEY = "lt-a-key-for-tests"
RECIPE: dict[str, Any] = {
    "name": "tiny",
    "models": {"base": {"model": "some/model"}},
    "problems": {"train": {"set": "sums"}},
    "stages": {
        "search": {"kind": "search", "policy": "base", "problems": "train"},
        "measure": {"kind": "evaluate", "models": ["base"], "problems": "train", "needs": ["search"]},
    },
}


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LONGTHOUGHT_DATABASE_URL", f"sqlite:///{tmp_path}/ledger.db")
    monkeypatch.setenv("LONGTHOUGHT_ARTIFACTS_URL", f"file://{tmp_path}/artifacts")
    monkeypatch.setenv("LONGTHOUGHT_BOOTSTRAP_API_KEY", KEY)
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


@pytest.fixture
def app(configured: Path) -> FastAPI:
    return create_app()


@pytest.fixture
def http(app: FastAPI) -> Iterator[TestClient]:
    """A client with a valid key; the application is started and stopped around it."""
    with TestClient(app, headers={"Authorization": f"Bearer {KEY}"}) as client:
        yield client


@pytest.fixture
def ledger(configured: Path) -> Iterator[Ledger]:
    made = Ledger(settings().database_url)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def sums(ledger: Ledger) -> str:
    """Name of a set of five problems."""
    store_set(ledger, "sums", [{"id": f"p{n}", "question": f"1 + {n}?", "answer": str(n + 1), "version": 1} for n in range(5)])
    return "sums"


@pytest.fixture
def run_id(http: TestClient, sums: str) -> str:
    """A posted run."""
    return str(http.post("/v1/runs", json=RECIPE).json()["id"])


@pytest.fixture
def work(ledger: Ledger) -> Callable[..., None]:
    """Does a stage's work: opens it with one item per list of records, commits each, closes it."""

    def done(run_id: str, stage: str, *results: list[NewRecord]) -> None:
        new = [NewItem(key=f"item{number}", service="searcher", payload={}) for number in range(len(results))]
        open_stage(ledger, run_id, stage, new)
        for item, records in zip(new, results, strict=True):
            lease = claim(ledger, f"{run_id}/{stage}/{item.key}", "hands", 30)
            assert lease
            commit(ledger, lease, Result(records=records))
        close_stage(ledger, run_id, stage, StageState.DONE)

    return done


@pytest.fixture
def finish(ledger: Ledger) -> Callable[[str], None]:
    """Brings a run to its end."""

    def done(run_id: str) -> None:
        assert move_run(ledger, run_id, RunState.CHECKING, RunState.RUNNING)
        assert move_run(ledger, run_id, RunState.RUNNING, RunState.DONE)

    return done


class Served:
    """The gateway behind a socket of the loopback, in a thread."""

    def __init__(self, port: int = 0) -> None:
        self._up = threading.Event()
        app = create_app()
        up = self._up

        class Telling(Server):
            async def startup(self, sockets: Any = None) -> None:
                await super().startup(sockets)
                up.set()

        config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=10)
        self._server = Telling(config, app)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        assert self._up.wait(30)
        self.port = int(self._server.servers[0].sockets[0].getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def serve(configured: Path) -> Iterator[Callable[..., Served]]:
    """Starts gateways; stops them in the end."""
    started: list[Served] = []

    def start(port: int = 0) -> Served:
        started.append(Served(port))
        return started[-1]

    yield start
    for one in started:
        one.stop()
