"""The client against a gateway that answers, refuses, disappears and comes back."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import patient_http as module
from shared.client import ApiError, Client, GatewayAway

PROBLEM = {"type": "invalid-recipe", "title": "The recipe is not valid.", "status": 422, "detail": "name: is missing"}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", (0.0,))


def client(*answers: Any, asked: list[httpx.Request] | None = None, patience: float = 5.0) -> Client:
    """A client whose network gives these answers, one after another: (status, JSON), a response, or an error to raise."""
    left = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        request.read()
        if asked is not None:
            asked.append(request)
        given = next(left)
        if isinstance(given, Exception):
            raise given
        return given if isinstance(given, httpx.Response) else httpx.Response(given[0], json=given[1])

    return Client("http://gateway/", "lt-key", transport=httpx.MockTransport(answer), patience=patience)


def stream(*messages: str, error: Exception | None = None) -> httpx.Response:
    def chunks() -> Iterator[bytes]:
        for message in messages:
            yield message.encode()
        if error:
            raise error

    return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=chunks())


def test_the_environment_says_where_and_who(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGTHOUGHT_URL", "http://somewhere:1/")
    monkeypatch.setenv("LONGTHOUGHT_API_KEY", "lt-env")
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"workers": []})

    with Client(transport=httpx.MockTransport(answer)) as made:
        assert made.url == "http://somewhere:1" and made.workers() == []
    assert (asked[0].url.host, asked[0].headers["Authorization"]) == ("somewhere", "Bearer lt-env")
    assert Client("http://here").url == "http://here"


def test_an_error_says_what_the_gateway_said() -> None:
    errors = [{"place": "name", "message": "is missing"}]
    with pytest.raises(ApiError, match="name: is missing") as refused:
        client((422, {**PROBLEM, "errors": errors})).post_run({})
    assert (refused.value.status, refused.value.title, refused.value.errors) == (422, "The recipe is not valid.", errors)


@pytest.mark.parametrize("answer", [httpx.Response(502, text="<html>"), httpx.Response(500, json=["odd"]), httpx.Response(404)])
def test_an_error_that_is_no_problem_detail(answer: httpx.Response) -> None:
    with pytest.raises(ApiError) as refused:
        client(answer).run("r")
    assert refused.value.status == answer.status_code
    assert str(refused.value) == answer.reason_phrase


AWAY = [
    httpx.ConnectError("refused"),
    httpx.ReadError("reset"),
    httpx.RemoteProtocolError("cut off"),
    httpx.ReadTimeout("slow"),
    (503, {"title": "Not available for the moment."}),
    (409, {"title": "Being worked on", "type": "in-flight"}),
]


@pytest.mark.parametrize("away", AWAY, ids=str)
@pytest.mark.parametrize(
    "call",
    [lambda c: c.run("r"), lambda c: c.post_run("name: x"), lambda c: c.cancel("r"), lambda c: c.delete_run("r")],
    ids=["read", "post", "cancel", "delete"],
)
def test_a_gateway_that_comes_back_is_waited_for(away: Any, call: Callable[[Client], Any]) -> None:
    asked: list[httpx.Request] = []
    call(client(away, away, (202, {"id": "r"}), asked=asked))
    assert len(asked) == 3
    assert len({request.headers.get("Idempotency-Key") for request in asked}) == 1
    assert len({request.content for request in asked}) == 1


def test_a_gateway_that_stays_away_is_given_up() -> None:
    with pytest.raises(GatewayAway, match="no answer from http://gateway for 0 s.*longthought up"):
        client(httpx.ConnectError("refused"), patience=0).run("r")
    with pytest.raises(ApiError, match="Not available"):
        client((503, {"title": "Not available"}), patience=0).run("r")


def test_every_run_is_posted_under_a_key_of_its_own() -> None:
    asked: list[httpx.Request] = []
    made = client((202, {"id": "a"}), (202, {"id": "b"}), asked=asked)
    assert [made.post_run("name: x"), made.post_run({"name": "x"})] == ["a", "b"]
    assert [request.headers["Content-Type"] for request in asked] == ["application/yaml", "application/json"]
    assert len({request.headers["Idempotency-Key"] for request in asked}) == 2


def test_an_upload_is_streamed_and_sent_again_from_its_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.client.CHUNK", 10)
    file = tmp_path / "problems.jsonl"
    file.write_bytes(b"x" * 95)
    asked: list[httpx.Request] = []
    client(httpx.WriteError("reset"), (201, {"count": 3}), asked=asked).add_problems("gsm8k", file)
    assert [request.content for request in asked] == [b"x" * 95] * 2
    assert asked[0].headers["Transfer-Encoding"] == "chunked"


def test_a_deletion_that_was_done_before_the_answer_was_lost() -> None:
    client(httpx.ReadError("reset"), (404, {"title": "gone"})).delete_problems("gsm8k")
    with pytest.raises(ApiError, match="gone"):
        client((404, {"title": "gone"})).delete_problems("gsm8k")


def test_pages_are_joined() -> None:
    asked: list[httpx.Request] = []
    one, two, three = ({"key": key} for key in "123")
    pages = [(200, {"records": [one, two], "next": "c1"}), (200, {"records": [three], "next": None})]
    assert list(client(*pages, asked=asked).records("r", stage="search", kind="tree")) == [one, two, three]
    assert [dict(request.url.params) for request in asked] == [
        {"stage": "search", "kind": "tree"},
        {"stage": "search", "kind": "tree", "cursor": "c1"},
    ]


def test_watching_ends_with_the_run() -> None:
    states = ["checking", "running", "paused", "running", "done"]
    answers = [(200, {"state": state}) for state in states]
    assert [status["state"] for status in client(*answers).watch("r", seconds=0)] == states


def test_names_are_one_part_of_a_path() -> None:
    asked: list[httpx.Request] = []
    client((200, {}), asked=asked).run("../a/b?c")
    assert asked[0].url.raw_path == b"/v1/runs/..%2Fa%2Fb%3Fc"


def event(number: int) -> str:
    return f"id: 0-{number}\nevent: item.done\ndata: {json.dumps({'n': number})}\n\n"


def test_events_go_on_after_an_interrupted_connection() -> None:
    asked: list[httpx.Request] = []
    made = client(
        stream(event(1), ": ping\n\n", event(2), error=httpx.ReadError("reset")),
        httpx.ConnectError("refused"),
        stream(event(3)),
        httpx.Response(204),
        asked=asked,
    )
    assert [found["n"] for found in made.events("r")] == [1, 2, 3]
    assert [request.headers.get("Last-Event-ID") for request in asked] == [None, "0-2", "0-2", "0-3"]


def test_an_interrupted_download_begins_anew_and_leaves_no_torn_file(tmp_path: Path) -> None:
    def torn() -> Iterator[bytes]:
        yield b"half of "
        raise httpx.ReadError("reset")

    target = tmp_path / "deep" / "model.bin"
    client(httpx.Response(200, content=torn()), httpx.Response(200, content=b"whole")).download_file("r", "a/b.bin", target)
    assert target.read_bytes() == b"whole"
    assert list(target.parent.iterdir()) == [target]


def test_readiness_is_asked_once() -> None:
    assert client((200, {"checks": {"ledger": "ok"}})).ready() == (True, {"ledger": "ok"})
    assert client((503, {"checks": {"broker": "no"}})).ready() == (False, {"broker": "no"})
    ready, checks = client(httpx.ConnectError("refused")).ready()
    assert not ready
    assert "no answer from http://gateway" in checks["gateway"]
