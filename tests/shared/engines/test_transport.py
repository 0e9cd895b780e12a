"""A server that refuses, fails, is slow, or gone: what is asked again, and what is raised."""

import asyncio
import json
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from shared.engines.circuit import OPEN_AFTER
from shared.engines.client import (
    Endpoint,
    EndpointDown,
    EndpointUnreachable,
    EngineDied,
    RequestRefused,
)
from shared.engines.transport import Patience, Server
from tests.shared.engines.endpoints import KEY, QUICK, SAMPLING, recorder
from tests.shared.engines.scripted import Reply, choices


@pytest.mark.parametrize("reply", [Reply(status=429), Reply(status=503), Reply(status=502), Reply(status=504), Reply(cut=True)])
async def test_what_passes_is_asked_again(server, hosted, reply):
    server.script = [reply, reply]
    completion = await hosted.complete("q", sampling=SAMPLING)
    assert len(server.asked) == 3
    assert completion.choices[0].text == "x"


async def test_retry_after_is_honoured(server, hosted, monkeypatch):
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("shared.engines.transport.asyncio.sleep", sleep)
    monkeypatch.setattr(hosted._server._limits, "_clock", lambda: sum(waits))  # all of the endpoint's callers wait as long
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
    server.script = [Reply(status=429, headers={"Retry-After": value}) for value in ("1.5", later)]
    await hosted.complete("q", sampling=SAMPLING)
    most = QUICK.longest_wait  # the jitter: those who were told one time do not come at one time
    assert 1.5 < waits[0] <= 1.5 + most
    assert 1 < waits[1] <= 3 + most


@pytest.mark.parametrize("value", ["", "soon", "-5", "nan", "inf", "1e9", "\u00b2", "Wed, 99 Foo 2026 00:00:00 GMT", "0"])
async def test_a_retry_after_that_says_nothing_is_passed_over(server, hosted, monkeypatch, value):
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("shared.engines.transport.asyncio.sleep", sleep)
    server.script = [Reply(status=429, headers={"Retry-After": value})]
    await hosted.complete("q", sampling=SAMPLING)
    assert len(waits) == 1 and 0 < waits[0] <= QUICK.longest_wait


async def test_the_budget_ends_the_waiting(server, hosted):
    server.script = [Reply({"error": {"message": "slow down"}}, 429, {"Retry-After": "3600"})]
    with pytest.raises(EndpointUnreachable, match=r"slow down \(HTTP 429\); given up after 1 requests \(.* waited 3600"):
        await hosted.complete("q", sampling=SAMPLING)
    assert len(server.asked) == 1


async def test_attempts_end(server, hosted):
    server.otherwise = lambda body: Reply({"message": f"overloaded, {KEY}"}, 503)
    with pytest.raises(EndpointUnreachable, match=r"overloaded, \*\*\* \(HTTP 503\); given up after 4 requests"):
        await hosted.complete("q", sampling=SAMPLING)
    assert len(server.asked) == QUICK.attempts


@pytest.mark.parametrize("status", [400, 401, 404, 422])
@pytest.mark.parametrize(
    "body",
    [{"error": {"message": f"bad key {KEY}"}}, {"error": f"bad key {KEY}"}, {"detail": f"bad key {KEY}"}, f"bad key {KEY}"],
)
async def test_refusals_are_raised_at_once_without_the_key(server, hosted, status, body):
    server.script = [Reply(body, status)]
    with pytest.raises(RequestRefused, match=r"bad key \*\*\*") as caught:
        await hosted.complete("q", sampling=SAMPLING)
    assert caught.value.status == status
    assert KEY not in str(caught.value) + caught.value.message
    assert server.url in str(caught.value)
    assert len(server.asked) == 1


@pytest.mark.parametrize("body", ["<html>", "", "[]", "NaN", "[" * 100_000, 'data: {"choices": []}', b"\xff\xfe"])
async def test_something_else_than_a_json_object(server, hosted, body):
    server.script = [Reply(body)]
    with pytest.raises(RequestRefused, match="is it the base URL"):
        await hosted.complete("q", sampling=SAMPLING)
    assert len(server.asked) == 1


SOUND = json.dumps(choices("x"))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(half=True, body=choices("x")),
        Reply(half=True, body=choices("x"), status=500),
        Reply(body=SOUND[:-9]),  # all the bytes that were promised, but of a text that was cut before
        Reply(body='{"a":' * 100_000),
    ],
    ids=["cut in the body", "a 500 cut in the body", "broken off", "nested without end"],
)
async def test_half_an_answer_is_asked_for_again_and_no_more_often_than_allowed(server, hosted, reply):
    server.script = [reply]
    assert (await hosted.complete("q", sampling=SAMPLING)).choices[0].text == "x"
    assert len(server.asked) == 2
    server.otherwise = lambda body: reply
    with pytest.raises(EndpointUnreachable, match=server.url):
        await hosted.complete("q", sampling=SAMPLING)
    assert 2 < len(server.asked) <= 2 + QUICK.attempts


async def test_what_cannot_be_decoded(server, hosted):
    server.script = [Reply(SOUND, headers={"Content-Encoding": "gzip"})]
    with pytest.raises(EndpointUnreachable, match="cannot be decoded"):
        await hosted.complete("q", sampling=SAMPLING)


@pytest.mark.parametrize("kind", ["text/html; charset=utf-16", "", "application/octet-stream"])
async def test_the_body_decides_and_not_its_type(server, hosted, kind):
    server.script = [Reply(SOUND, headers={"Content-Type": kind})]
    assert (await hosted.complete("q", sampling=SAMPLING)).choices[0].text == "x"


async def test_a_storm_of_errors_costs_no_more_than_the_attempts(server, hosted):
    """Every request of a crowd gives up after its own attempts, with the server's words."""
    server.otherwise = lambda body: Reply({"error": {"message": "rate limit of the tier"}}, 429)
    failed = await asyncio.gather(*(hosted.complete("q", sampling=SAMPLING) for _ in range(64)), return_exceptions=True)
    assert {type(error) for error in failed} == {EndpointUnreachable}
    assert all("rate limit of the tier" in str(error) for error in failed)
    assert len(server.asked) == 64 * QUICK.attempts


async def test_what_is_left_out_is_asked_for_under_the_same_patience(server, hosted):
    """One choice of four comes; of the three further requests each meets one refusal for being busy."""
    server.script = [Reply(choices("first")), *[Reply(status=429)] * 3]
    rows, record = recorder()
    completion = await hosted.metered("teacher", record).complete("q", n=4, sampling=SAMPLING)
    assert len(completion.choices) == len(rows) == 4
    assert len(server.asked) == 1 + 3 + 3
    assert sum(row.completion_tokens for row in rows) == completion.completion_tokens == 4


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "http://no-such-host.invalid/v1", "http://[/v1"])
async def test_nobody_there(url):
    connection = Server(url, KEY, QUICK)
    with pytest.raises(EndpointUnreachable, match=url.replace("[", r"\[")) as caught:
        await Endpoint(connection, "gpt", uri="gpt", engine=url).complete("q", sampling=SAMPLING)
    assert KEY not in str(caught.value)
    await connection.close()


async def test_no_answer_in_time_is_not_asked_for_again(server):
    server.otherwise = lambda body: asyncio.run(asyncio.sleep(1)) or Reply()
    connection = Server(server.url, patience=Patience(answer_seconds=0.05))
    with pytest.raises(EndpointUnreachable, match="no answer within"):
        await Endpoint(connection, "gpt", uri="gpt", engine=server.url).complete("q", sampling=SAMPLING)
    assert len(server.asked) == 1
    await connection.close()


async def test_a_local_engine_that_is_gone_says_why(server):
    connection = Server(server.url, patience=QUICK, is_local=True, why_gone=lambda: "the engine ended with code 137")
    server.script = [Reply(cut=True)]
    with pytest.raises(EngineDied, match="code 137"):
        await Endpoint(connection, "m", uri="m", engine="e").complete("q", sampling=SAMPLING)
    await connection.close()


async def test_a_local_engine_that_cannot_be_reached_has_died():
    connection = Server("http://127.0.0.1:9/v1", patience=QUICK, is_local=True)
    with pytest.raises(EngineDied, match="cannot be reached"):
        await Endpoint(connection, "m", uri="m", engine="e").complete("q", sampling=SAMPLING)
    assert connection.died
    await connection.close()


@pytest.mark.parametrize(("health", "error"), [(503, EngineDied), (200, RequestRefused)])
async def test_a_local_engines_500(server, local, health, error):
    server.script = [Reply({"error": {"message": "EngineCore encountered an issue"}}, 500), Reply(status=health)]
    with pytest.raises(error):
        await local.complete("q", sampling=SAMPLING)
    assert server.paths == ["/v1/completions", "/health"]


async def test_a_stopped_engine(local):
    await local._server.close()
    with pytest.raises(EngineDied, match="stopped"):
        await local.complete("q", sampling=SAMPLING)


async def test_many_requests_at_once(server, hosted):
    answers = await asyncio.gather(*(hosted.complete(f"q{number}", sampling=SAMPLING) for number in range(256)))
    assert len(answers) == 256
    assert len({asked["prompt"] for asked in server.asked}) == 256


async def test_a_storm_of_refusals_is_weathered_by_asking_less(server, hosted):
    """The server takes three at once and refuses the rest: all are answered in the end."""
    busy = threading.Semaphore(3)

    seen: list[float] = []

    def storm(body: dict[str, Any]) -> Reply:
        seen.append(http._limits.at_once)
        if not busy.acquire(blocking=False):
            return Reply({"message": "slow down"}, 429)
        time.sleep(0.005)
        busy.release()
        return Reply(choices("x"))

    server.otherwise = storm
    patient = replace(QUICK, attempts=500, busy_seconds=60.0)
    http = Server(server.url, KEY, patient)
    endpoint = Endpoint(http, "m", uri="m", engine="e")
    answers = await asyncio.gather(*(endpoint.complete("q", sampling=SAMPLING) for _ in range(100)))
    # Each answer raises a halved 32 by at most 1/32, so that a hundred of them stay below 36.
    assert len(answers) == 100 and min(seen) < 36 < max(seen)
    await http.close()


async def test_an_outage_opens_the_circuit_and_one_request_closes_it(server, monkeypatch):
    now = [0.0]
    http = Server(server.url, KEY, replace(QUICK, attempts=1))
    http._circuit._clock = lambda: now[0]
    endpoint = Endpoint(http, "m", uri="m", engine="e")
    server.otherwise = lambda body: Reply({"message": f"down, {KEY}"}, 503)
    for _ in range(OPEN_AFTER):
        with pytest.raises(EndpointUnreachable):
            await endpoint.complete("q", sampling=SAMPLING)
    with pytest.raises(EndpointDown, match=r"is tried again in 30 s: .*down, \*\*\*") as down:
        await endpoint.complete("q", sampling=SAMPLING)
    assert KEY not in str(down.value) and len(server.asked) == OPEN_AFTER
    now[0] += 30
    server.otherwise = lambda body: Reply(choices("x"))
    await asyncio.gather(
        endpoint.complete("q", sampling=SAMPLING), endpoint.complete("q", sampling=SAMPLING), return_exceptions=True
    )
    await endpoint.complete("q", sampling=SAMPLING)
    await http.close()


async def test_a_slow_body_is_waited_for_and_one_that_never_ends_is_given_up(server):
    http = Server(server.url, KEY, replace(QUICK, answer_seconds=0.5))
    endpoint = Endpoint(http, "m", uri="m", engine="e")
    server.script = [Reply(choices("x"), slow=0.02)]
    assert (await endpoint.complete("q", sampling=SAMPLING)).choices[0].text == "x"
    server.script = [Reply(choices("x"), slow=1.0)]
    with pytest.raises(EndpointUnreachable, match=r"gave no answer within 0.5 s"):
        await endpoint.complete("q", sampling=SAMPLING)
    await http.close()
