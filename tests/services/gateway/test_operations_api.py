"""Keys, problem details, probes and metrics."""

import socket
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from services.gateway import operations
from shared.ledger.database import Ledger
from shared.ledger.keys import register_key
from shared.ledger.locks import CONDUCTOR, acquire_lock
from shared.ledger.workers import beat
from shared.settings import settings

from .conftest import KEY


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": f"Bearer {KEY}"}, 200),
        ({"X-API-Key": KEY}, 200),
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Basic {KEY}"}, 401),
        ({"X-API-Key": "wrong"}, 401),
    ],
)
def test_keys(http: TestClient, headers: dict[str, str], status: int) -> None:
    del http.headers["Authorization"]
    answer = http.get("/v1/runs", headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "API key" in answer.json()["title"]


def test_every_path_under_v1_needs_a_key(http: TestClient, app: FastAPI) -> None:
    del http.headers["Authorization"]
    paths = app.openapi()["paths"]
    guarded = [(path, method) for path, methods in paths.items() for method in methods if path.startswith("/v1")]
    assert len(guarded) >= 25
    for path, method in guarded:
        assert http.request(method, path).status_code == 401, path
    assert set(paths) - {path for path, _ in guarded} == {"/healthz", "/readyz"}


def test_another_key_works_as_well(http: TestClient, ledger: Ledger) -> None:
    register_key(ledger, "lt-another", "colleague")
    assert http.get("/v1/runs", headers={"Authorization": "Bearer lt-another"}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/runs/nobody", 404),
        ("GET", "/nowhere", 404),
        ("PUT", "/v1/runs", 405),
        ("GET", "/v1/runs?limit=0", 422),
        ("GET", "/v1/runs?limit=many", 422),
        ("GET", "/v1/runs/a%00b", 422),
        ("POST", "/v1/runs/nobody/cancel", 404),
    ],
)
def test_errors_are_problem_details(http: TestClient, method: str, path: str, status: int) -> None:
    answer = http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["type"]


def test_a_fault_of_ours_keeps_its_words_to_itself(app: FastAPI, configured: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(operations, "live_workers", broken)
    with TestClient(app, headers={"X-API-Key": KEY}, raise_server_exceptions=False) as http:
        answer = http.get("/v1/workers")
        assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
        assert "secret" not in answer.text
        assert 'route="/v1/workers",status="500"' in http.get("/metrics").text


def test_a_ledger_that_is_away(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: object) -> None:
        raise OperationalError("select", {}, Exception("connection refused"))

    monkeypatch.setattr(operations, "live_workers", away)
    answer = http.get("/v1/workers")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


@pytest.fixture
def broker(configured: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("LONGTHOUGHT_BROKER_URL", f"redis://:secret@127.0.0.1:{listening.getsockname()[1]}/0")
        settings.cache_clear()
        yield listening


def test_ready_when_ledger_broker_and_conductor_are_there(broker: socket.socket, http: TestClient, ledger: Ledger) -> None:
    del http.headers["Authorization"]
    assert http.get("/healthz").status_code == 200
    answer = http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"ledger": "ok", "broker": "ok", "conductor": "no conductor is at work"}
    assert http.get("/readyz", params={"of": "ledger"}).status_code == 200
    acquire_lock(ledger, CONDUCTOR, "somebody", 60)
    assert http.get("/readyz").json() == {"status": "ready", "checks": dict.fromkeys(("ledger", "broker", "conductor"), "ok")}
    broker.close()
    answer = http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["broker"].startswith("no broker at 127.0.0.1:")
    assert "secret" not in answer.text


def test_queues_workers_models(http: TestClient, ledger: Ledger) -> None:
    beat(ledger, "hands", "searcher,evaluator", 32)
    queues = http.get("/v1/queues").json()["queues"]
    assert set(queues) == {"distiller", "searcher", "compiler", "trainer", "evaluator"}
    assert queues["searcher"] == {"queued": 0, "rung": 0, "running": 0, "workers": 1, "slots": 32}
    [worker] = http.get("/v1/workers").json()["workers"]
    assert worker["services"] == ["searcher", "evaluator"]
    assert http.get("/v1/models").json() == {"models": []}


def test_metrics(http: TestClient, run_id: str) -> None:
    http.get(f"/v1/runs/{run_id}")
    text = http.get("/metrics", headers={"Authorization": ""}).text
    assert 'longthought_http_request_seconds_count{method="GET",route="/v1/runs/{run_id}",status="200"} 1.0' in text
    assert 'longthought_items{service="searcher",state="queued"} 0.0' in text
    assert 'longthought_runs{state="checking"} 1.0' in text
    assert run_id not in text


def test_the_api_is_documented(http: TestClient) -> None:
    assert http.get("/docs").status_code == 200
    schema = http.get("/openapi.json").json()
    assert all(operation.get("description") for methods in schema["paths"].values() for operation in methods.values())
