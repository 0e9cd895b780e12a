"""Answers that are given again, and requests that a spend cap holds back: a real server, a real ledger."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from shared.contracts.base import Message
from shared.contracts.models import Sampling
from shared.engines.bank import Bank, SpendCapReached, worst_case
from shared.engines.client import Endpoint, EngineError, RequestRefused
from shared.engines.transport import Server
from shared.ledger.database import Ledger
from shared.ledger.items import Lease, NewItem, claim, item_name
from shared.ledger.opening import open_stage
from shared.ledger.records import run_usage
from shared.ledger.runs import NewStage, close_stage, create_run, get_run, move_run
from shared.ledger.spending import spending
from shared.ledger.tables import RunState, StageState
from tests.shared.engines.endpoints import QUICK
from tests.shared.engines.scripted import Reply, Scripted, chat, scripted_server

SAMPLED, GREEDY = Sampling(temperature=0.7, max_tokens=100), Sampling(temperature=0.0, max_tokens=100)
PRICES = (1_000_000.0, 2_000_000.0)
"""A dollar a prompt token, two a completion token."""


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted_server() as made:
        numbers = iter(range(1000))
        made.otherwise = lambda body: Reply(chat(f"answer {next(numbers)}"))
        yield made


@pytest.fixture
async def endpoint(server: Scripted) -> AsyncIterator[Endpoint]:
    http = Server(server.url, None, QUICK)
    yield Endpoint(http, "big", uri="big", engine=server.url, price_per_million=PRICES)
    await http.close()


def a_run(ledger: Ledger, cap: float | None = None) -> Lease:
    run = create_run(ledger, "made", {"name": "made"}, [NewStage("work", "distill", ())], spend_cap=cap)[0]
    close_stage(ledger, run, "preflight", StageState.DONE)
    move_run(ledger, run, RunState.CHECKING, RunState.RUNNING)
    open_stage(ledger, run, "work", [NewItem("0", "distiller", {})])
    lease = claim(ledger, item_name(run, "work", "0"), "hands", 30)
    assert lease is not None
    return lease


async def asked(endpoint: Endpoint, bank: Bank, text: str = "Hello", sampling: Sampling = SAMPLED, n: int = 1) -> list[str]:
    completion = await endpoint.metered("teacher", bank).chat([Message(role="user", content=text)], sampling=sampling, n=n)
    return [choice.text for choice in completion.choices]


async def test_a_second_run_of_the_item_buys_nothing(server, ledger, endpoint):
    first, again = (Bank(ledger, a_run(ledger), "seed", capped=False) for _ in range(2))
    bought = [await asked(endpoint, first), await asked(endpoint, first), await asked(endpoint, first, n=2)]
    assert len({text for texts in bought for text in texts}) == 4, "asked twice, two draws"
    assert [await asked(endpoint, again), await asked(endpoint, again), await asked(endpoint, again, n=2)] == bought
    assert len(server.asked) == 4  # the server ignores n: two requests for two choices


async def test_hits_are_counted_and_cost_nothing(server, ledger, endpoint):
    for _ in range(2):
        lease = a_run(ledger)
        await asked(endpoint, Bank(ledger, lease, "seed", capped=False))
    (row,) = run_usage(ledger, lease.run_id)
    assert (row.requests, row.cached, row.prompt_tokens, row.cost) == (0, 1, 0, 0.0)


@pytest.mark.parametrize(
    ("change", "bought"),
    [("nothing", 1), ("seed", 2), ("round", 2), ("words", 2), ("sampling", 2), ("model", 2), ("off", 2)],
)
async def test_another_question_is_another_answer(server, ledger, endpoint, change, bought):
    await asked(endpoint, Bank(ledger, a_run(ledger), "seed", capped=False))
    bank = Bank(ledger, a_run(ledger), "other" if change == "seed" else "seed", capped=False, cached=change != "off")
    bank.round = int(change == "round")
    if change == "model":
        endpoint.model = "bigger"
    words = "Goodbye" if change == "words" else "Hello"
    await asked(endpoint, bank, words, Sampling(temperature=0.8, max_tokens=100) if change == "sampling" else SAMPLED)
    assert len(server.asked) == bought


async def test_a_greedy_answer_is_everybodys(server, ledger, endpoint):
    texts = {(await asked(endpoint, Bank(ledger, a_run(ledger), seed, capped=False), sampling=GREEDY))[0] for seed in "abc"}
    assert len(texts) == len(server.asked) == 1


@pytest.mark.parametrize(
    "reply",
    [Reply({"choices": [], "usage": {}}), Reply({"error": "no"}, status=400), Reply(chat("x") | {"usage": {"prompt_tokens": -1}})],
)
async def test_nonsense_is_not_kept(server, ledger, endpoint, reply):
    server.script = [reply]
    with pytest.raises(EngineError):
        await asked(endpoint, Bank(ledger, a_run(ledger), "seed", capped=False))
    assert await asked(endpoint, Bank(ledger, a_run(ledger), "seed", capped=False))
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("body", "dollars"),
    [
        ({"messages": [{"role": "user", "content": "ab"}], "max_tokens": 10}, 130 + 20),
        ({"messages": [{"role": "user", "content": "é"}], "max_tokens": 10, "n": 3}, 130 + 60),
        ({"prompt": [1, 2, 3], "max_tokens": 1}, 3 + 2),
        ({"prompt": "abc", "max_tokens": 1}, 67 + 2),
        ({"input": [[1, 2], [3]]}, 3),
    ],
)
def test_what_a_request_can_cost_at_most(body, dollars):
    assert worst_case(body, PRICES) == dollars


async def test_requests_wait_for_room_and_the_cap_is_not_passed(server, ledger, endpoint):
    """Each may cost 335 dollars and costs 12: of many at once, three go out, and the others as these come back."""
    lease = a_run(ledger, cap=1100.0)
    banks = [Bank(ledger, lease, str(number), capped=True) for number in range(40)]
    await asyncio.gather(*(asked(endpoint, bank) for bank in banks))
    found = spending(ledger, lease.run_id)
    assert len(server.asked) == 40 and found.spent == 40 * 12 and found.held == 0 and not get_run(ledger, lease.run_id).paused


async def test_where_there_is_no_room_the_run_is_paused_and_nothing_asked(server, ledger, endpoint):
    lease = a_run(ledger, cap=400.0)
    bank = Bank(ledger, lease, "seed", capped=True)
    for _ in range(5):
        await asked(endpoint, bank)
    assert spending(ledger, lease.run_id).spent == 60
    while spending(ledger, lease.run_id).spent + 335 <= 400:
        await asked(endpoint, bank)
    with pytest.raises(SpendCapReached):
        await asked(endpoint, bank)
    found = spending(ledger, lease.run_id)
    assert len(server.asked) * 12 == found.spent <= 400 and found.spent + 335 > 400
    run = get_run(ledger, lease.run_id)
    assert run.paused and "spend cap" in run.reason


async def test_what_is_in_the_cache_needs_no_room(server, ledger, endpoint):
    await asked(endpoint, Bank(ledger, a_run(ledger), "seed", capped=False))
    assert await asked(endpoint, Bank(ledger, a_run(ledger, cap=1.0), "seed", capped=True))
    assert len(server.asked) == 1


async def test_a_refusal_gives_its_hold_back_and_a_broken_answer_does_not(server, ledger, endpoint):
    lease = a_run(ledger, cap=5000.0)
    bank = Bank(ledger, lease, "seed", capped=True)
    server.script = [Reply({"error": "no"}, status=400)]
    with pytest.raises(RequestRefused):
        await asked(endpoint, bank)
    assert spending(ledger, lease.run_id).held == 0
    server.script = [Reply(chat("x"), half=True), Reply(chat("x"), half=True)]
    await asked(endpoint, bank)
    found = spending(ledger, lease.run_id)
    assert (found.spent, found.held) == (
        12,
        2 * worst_case({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 100}, PRICES),
    )


async def test_a_cancelled_request_stays_held(server, ledger, endpoint):
    lease = a_run(ledger, cap=5000.0)
    entered: Any = asyncio.Event()
    loop = asyncio.get_running_loop()
    release = asyncio.Event()

    def slow(body):
        loop.call_soon_threadsafe(entered.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        return Reply(chat("x"))

    server.otherwise = slow
    task = asyncio.create_task(asked(endpoint, Bank(ledger, lease, "seed", capped=True)))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    assert spending(ledger, lease.run_id).held == pytest.approx(333, abs=3)
