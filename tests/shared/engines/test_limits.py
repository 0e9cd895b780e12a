"""Limits of an endpoint, on a clock of the test's own; and its circuit."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.engines.circuit import FIRST_SECONDS, LONGEST_SECONDS, OPEN_AFTER, Circuit
from shared.engines.errors import EndpointDown
from shared.engines.limits import MINUTE, Limits, Rates, TooLarge, most_tokens


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds
        await asyncio.sleep(0)


def body(prompt: int = 0, most: int = 0, n: int = 1) -> dict[str, Any]:
    return {"prompt": [0] * prompt, "max_tokens": most, "n": n}


def gate(**rates: int) -> tuple[Limits, Clock]:
    clock = Clock()
    return Limits(Rates(**rates), clock, clock.sleep), clock


REQUESTS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30), st.floats(0, 1)), min_size=1, max_size=60)


@settings(max_examples=60)
@given(REQUESTS, st.integers(1, 20), st.integers(70, 200))
async def test_no_minute_holds_more_and_everybody_is_served_in_order(asked, requests, tokens):
    limits, clock = gate(requests_per_minute=requests, tokens_per_minute=tokens)
    went: list[tuple[float, list[float], int]] = []

    async def one(number: int, prompt: int, most: int, share: float) -> None:
        async with limits.admitted(body(prompt, most)) as admission:
            went.append((clock.now, admission._entry, number))  # type: ignore[arg-type]
            await asyncio.sleep(0)
            admission.answered({"usage": {"total_tokens": max(1, int(share * (prompt + most)))}})

    await asyncio.gather(*(one(number, *each) for number, each in enumerate(asked)))
    assert [number for _, _, number in went] == list(range(len(asked)))
    for when, _, _ in went:
        minute = [entry for at, entry, _ in went if when - MINUTE < at <= when]
        assert len(minute) <= requests
        assert sum(entry[1] for entry in minute) <= tokens + 1e-6


async def test_usage_gives_back_what_was_counted_up_front():
    limits, clock = gate(tokens_per_minute=100)
    for _ in range(10):
        async with limits.admitted(body(0, 60)) as admission:
            admission.answered({"usage": {"prompt_tokens": 3, "completion_tokens": 1}})
    assert clock.now == 1000.0, "ten of 60 fit into one minute of 100, for each took 4"
    async with limits.admitted(body(0, 60)):
        pass
    async with limits.admitted(body(0, 60)):
        assert clock.now == 1000.0 + MINUTE, "without usage the whole stays counted"


async def test_a_request_that_no_minute_has_room_for_is_refused_in_words():
    limits, _ = gate(tokens_per_minute=100)
    with pytest.raises(TooLarge, match=r"may take 110 tokens, and 100 a minute are allowed: lower max_tokens"):
        async with limits.admitted(body(10, 50, 2)):
            pass


@pytest.mark.parametrize(
    ("asked", "tokens"),
    [
        (body(5, 7, 3), 26),
        ({"prompt": "x" * 30, "max_tokens": 1}, 11),
        ({"messages": [{"content": "é" * 3}], "max_tokens": 2}, 4),
        ({"input": [[1]]}, 0),
    ],
)
def test_what_a_request_may_take(asked, tokens):
    assert most_tokens(asked) == tokens


async def test_who_is_told_to_slow_down_does():
    limits, clock = gate(max_concurrency=8)
    out = [limits.admitted({}) for _ in range(8)]
    admissions = [await one.__aenter__() for one in out]
    for admission in admissions[:3]:
        admission.busy(5.0)
    assert limits.at_once == 4, "halved once for all that were out together"
    for one in out:
        await one.__aexit__(None, None, None)
    async with limits.admitted({}) as later:
        assert clock.now == 1005.0, "nobody goes before the server's own time"
        clock.now += 1
        later.busy(None)
    assert limits.at_once == 2
    for _ in range(200):
        limits.answered()
    assert limits.at_once == 8, "and back, one at a time"


async def test_no_more_are_out_than_may_be():
    limits, _ = gate(max_concurrency=3)
    most = 0

    async def one() -> None:
        nonlocal most
        async with limits.admitted({}):
            most = max(most, limits.out)
            await asyncio.sleep(0)

    await asyncio.gather(*(one() for _ in range(30)))
    assert most == 3 and limits.out == 0


async def test_who_is_cancelled_while_waiting_takes_nothing():
    limits, _ = gate(max_concurrency=1)
    async with limits.admitted({}):
        waiting = asyncio.create_task(limits.admitted({}).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with limits.admitted({}):
        assert limits.out == 1


def test_the_circuit_opens_tries_and_closes():
    clock = Clock()
    circuit = Circuit("http://far/v1", clock)
    for _ in range(OPEN_AFTER - 1):
        circuit.check()
        circuit.given_up("no route")
    circuit.check()
    circuit.given_up("no route")
    with pytest.raises(EndpointDown, match=r"http://far/v1 is down, and is tried again in 30 s: no route") as down:
        circuit.check()
    assert down.value.seconds == FIRST_SECONDS
    circuit.given_up("late")  # was out when the circuit opened
    clock.now += FIRST_SECONDS
    circuit.check()
    with pytest.raises(EndpointDown):
        circuit.check()  # one tries, the others wait
    circuit.given_up("no route")
    clock.now += FIRST_SECONDS
    with pytest.raises(EndpointDown):
        circuit.check()
    clock.now += FIRST_SECONDS
    circuit.check()
    circuit.let_go()
    circuit.check()
    circuit.answered()
    for _ in range(3):
        circuit.check()
    for _ in range(OPEN_AFTER + 20):
        circuit.given_up("no route")
        clock.now += 10 * LONGEST_SECONDS
        circuit.check()
    circuit.given_up("no route")
    with pytest.raises(EndpointDown) as down:
        circuit.check()
    assert down.value.seconds == LONGEST_SECONDS
