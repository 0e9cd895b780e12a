"""The client against a real HTTP server that answers as scripted: what is asked, and what is counted."""

import asyncio
from typing import Any

import pytest

from shared.engines.client import (
    Choice,
    EngineError,
    RequestRefused,
)
from shared.ledger.records import UsageRow
from tests.shared.engines.banks import OpenBank
from tests.shared.engines.endpoints import HELLO, KEY, SAMPLING, recorder
from tests.shared.engines.scripted import Reply, chat, choices


async def test_what_a_hosted_server_is_asked(server, hosted):
    completion = await hosted.complete("1 + 1 =", n=2, sampling=SAMPLING, stop=["\n"])
    assert server.asked == [
        {"model": "gpt", "prompt": "1 + 1 =", "temperature": 0.5, "top_p": 0.9, "max_tokens": 7, "stop": ["\n"], "n": 2}
    ]
    assert server.paths == ["/v1/completions"]
    assert server.keys == [f"Bearer {KEY}"]
    assert completion.choices == (Choice("x", (), "stop"), Choice("x", (), "stop"))
    assert not hosted.local


async def test_what_a_local_engine_is_asked(server, local):
    server.script = [Reply(choices("Step 1\n", token_ids=[5, 6]))]
    completion = await local.complete([1, 2, 3], sampling=SAMPLING, stop=["\n"], include_stop=True, stop_ids=[6], min_tokens=1)
    (asked,) = server.asked
    assert asked["prompt"] == [1, 2, 3]
    assert asked["return_token_ids"] is True
    assert asked["include_stop_str_in_output"] is True
    assert (asked["stop_token_ids"], asked["min_tokens"]) == ([6], 1)
    assert "seed" not in asked  # it kills vLLM's CPU engine
    assert "n" not in asked
    assert completion.choices == (Choice("Step 1\n", (5, 6), "stop"),)


async def test_chat(server, local):
    server.script = [Reply(chat("Hi"))]
    completion = await local.chat(HELLO, sampling=SAMPLING)
    assert server.paths == ["/v1/chat/completions"]
    assert server.asked[0]["messages"] == [{"role": "user", "content": "Hello"}]
    assert completion.choices == (Choice("Hi", (), "stop"),)


async def test_tokens(server, local):
    server.script = [Reply({"tokens": [1, 2]}), Reply({"tokens": [3]}), Reply({"prompt": "a"}), Reply({"prompt": None})]
    assert await local.tokenize_chat(HELLO) == [1, 2]
    assert await local.tokenize("a") == [3]
    assert await local.detokenize((3,)) == "a"
    with pytest.raises(EngineError, match="answered without a text"):
        await local.detokenize([3])
    server.script = [Reply({"breaks": {"198": "\n"}})]
    assert await local.line_breaks() == {198: "\n"}
    assert server.paths == ["/tokenize", "/tokenize", "/detokenize", "/detokenize", "/line_breaks"]
    assert server.asked[2]["tokens"] == [3]
    assert server.asked[0]["add_generation_prompt"] is True
    assert server.asked[1]["add_special_tokens"] is False


async def test_a_hosted_server_tells_no_tokens(hosted):
    with pytest.raises(EngineError, match="only a local engine"):
        await hosted.tokenize("a")


@pytest.mark.parametrize("given", [1, 2, 3, 5])
async def test_choices_that_a_server_leaves_out_are_asked_for(server, hosted, given):
    # given=1: n is ignored; 5: more than asked for
    server.script = [Reply(choices(*["first"] * given))]
    rows, record = recorder()
    completion = await hosted.metered("teacher", record).complete("q", n=3, sampling=SAMPLING)
    assert [choice.text for choice in completion.choices] == ["first"] * min(3, given) + ["x"] * max(0, 3 - given)
    assert len(server.asked) == len(rows) == 1 + max(0, 3 - given)
    assert all("n" not in asked for asked in server.asked[1:])
    assert completion.prompt_tokens == 10 * len(rows)
    assert completion.completion_tokens == sum(row.completion_tokens for row in rows)


async def test_one_of_the_further_requests_fails(server, hosted):
    server.script = [Reply(choices("first")), Reply({"error": {"message": "no"}}, 400)]
    with pytest.raises(RequestRefused, match="no"):
        await hosted.complete("q", n=4, sampling=SAMPLING)


async def test_usage_and_cost(server, hosted):
    rows, record = recorder()
    await hosted.metered("teacher", record).complete("q", n=4, sampling=SAMPLING)
    assert rows == [UsageRow("teacher", "gpt", 1, 10, 4, (10 * 2 + 4 * 10) / 1e6)]
    await hosted.complete("q", sampling=SAMPLING)  # the original meters nothing
    assert len(rows) == 1


async def test_charged_but_useless_answers_are_metered(server, hosted):
    server.script = [Reply({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}})]
    rows, record = recorder()
    with pytest.raises(EngineError, match="without choices"):
        await hosted.metered("teacher", record).complete("q", sampling=SAMPLING)
    assert [row.completion_tokens for row in rows] == [5]


async def test_usage_outlives_a_cancellation(hosted):
    entered, leave = asyncio.Event(), asyncio.Event()

    class SlowBank(OpenBank):
        async def settle(self, held: float, row: UsageRow | None) -> None:
            entered.set()
            await leave.wait()
            await super().settle(held, row)

    record: Any = SlowBank()
    rows = record.rows
    request = asyncio.create_task(hosted.metered("teacher", record).complete("q", sampling=SAMPLING))
    await entered.wait()
    request.cancel()
    leave.set()
    with pytest.raises(asyncio.CancelledError):
        await request
    await asyncio.sleep(0)
    assert len(rows) == 1
