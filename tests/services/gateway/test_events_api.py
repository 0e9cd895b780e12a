"""Events over a real socket: in order, each once, across interrupted connections, to a clean end."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import connect_sse

from services.gateway import hub
from services.gateway.hub import Hub
from shared.ledger.database import Ledger
from shared.ledger.events import add_event
from shared.ledger.runs import NewStage, cancel_run, create_run

from .conftest import KEY, Served

HEADERS = {"Authorization": f"Bearer {KEY}"}


def happen(ledger: Ledger, run: str, *kinds: str) -> None:
    for kind in kinds:
        with ledger.write() as connection:
            add_event(connection, run, kind, {"said": kind}, "search")


@pytest.fixture
def run(ledger: Ledger) -> str:
    return create_run(ledger, "tiny", {}, [NewStage("search", "search", ())])[0]


def test_a_runs_events_from_first_to_last(serve: Callable[..., Served], ledger: Ledger, run: str) -> None:
    happen(ledger, run, "one", "two")
    other = create_run(ledger, "other", {}, [])[0]
    with httpx.Client(base_url=serve().url, headers=HEADERS, timeout=30) as http:
        seen: list[str] = []
        with connect_sse(http, "GET", f"/v1/runs/{run}/events") as source:
            assert source.response.headers["content-type"].startswith("text/event-stream")
            for event in source.iter_sse():
                seen.append(event.event)
                data = event.json()
                assert (data["run_id"], data["type"], data["id"]) == (run, event.event, event.id)
                if event.event == "two":
                    happen(ledger, other, "of another run")
                    happen(ledger, run, "three")
                if event.event == "three":
                    middle = event.id
                    cancel_run(ledger, run)
        assert seen == ["run.created", "one", "two", "three", "run.cancelled"]
        with connect_sse(http, "GET", f"/v1/runs/{run}/events", headers={"Last-Event-ID": middle}) as source:
            [last] = source.iter_sse()
        assert last.event == "run.cancelled"
        assert http.get(f"/v1/runs/{run}/events", headers={"Last-Event-ID": last.id}).status_code == 204


def test_all_events_are_those_to_come_or_those_after_an_id(serve: Callable[..., Served], ledger: Ledger, run: str) -> None:
    happen(ledger, run, "before")
    with httpx.Client(base_url=serve().url, headers=HEADERS, timeout=30) as http:
        with connect_sse(http, "GET", "/v1/events") as source:
            incoming = source.iter_sse()
            first = next(incoming)  # no event: only an id to come back with
            assert first.data == ""
            happen(ledger, run, "after")
            assert next(incoming).event == "after"
        with connect_sse(http, "GET", f"/v1/events?after={first.id}") as source:
            incoming = source.iter_sse()
            assert next(incoming).data == ""
            assert next(incoming).event == "after"


@pytest.mark.parametrize("cursor", ["x", "1", "1-x", "-", "1-2-3", "9" * 30 + "-1"])
def test_ids_that_are_none(http: Any, run: str, cursor: str) -> None:
    answer = http.get(f"/v1/runs/{run}/events", headers={"Last-Event-ID": cursor})
    assert answer.status_code == 400
    assert "Last-Event-ID" in answer.json()["detail"]


def test_stopping_the_gateway_ends_streams(serve: Callable[..., Served], ledger: Ledger, run: str) -> None:
    served = serve()
    with (
        httpx.Client(base_url=served.url, headers=HEADERS, timeout=30) as http,
        connect_sse(http, "GET", f"/v1/runs/{run}/events") as source,
    ):
        incoming = source.iter_sse()
        assert next(incoming).event == "run.created"
        served.stop()
        assert list(incoming) == []  # a clean end, no broken connection


async def test_a_listener_that_falls_behind_misses_nothing(ledger: Ledger, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "QUEUE", 3)
    monkeypatch.setattr(hub, "POLL_SECONDS", 0.01)
    tested = Hub(ledger)
    await tested.start()
    listening = tested.listen("0-0", run)
    kinds = [f"event{number}" for number in range(40)]
    assert (await anext(listening)).type == "run.created"
    waiting = asyncio.ensure_future(anext(listening))
    await asyncio.to_thread(happen, ledger, run, *kinds[:20])
    seen = [(await waiting).type]
    await asyncio.to_thread(happen, ledger, run, *kinds[20:], "run.done")
    seen += [event.type async for event in listening]
    assert seen == [*kinds, "run.done"]
    await tested.stop()


async def test_many_listeners_share_one_tailer(ledger: Ledger, run: str, tmp_path: Path) -> None:
    tested = Hub(ledger)
    await tested.start()

    async def collect() -> list[str]:
        return [event.type async for event in tested.listen("0-0", run)]

    listeners = [asyncio.create_task(collect()) for _ in range(20)]
    await asyncio.to_thread(happen, ledger, run, "one", "two", "run.done")
    assert await asyncio.gather(*listeners) == [["run.created", "one", "two", "run.done"]] * 20
    await tested.stop()
