"""transformers' server with SmolLM2, in vLLM's place: what it would get wrong in silence, and what the client asks of it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.contracts.base import Message
from shared.contracts.models import Sampling
from shared.cpu import fast_dtype
from shared.engines import quickstart
from shared.engines.client import EngineError, Form, RequestRefused
from shared.engines.local import LocalServer, Plan
from shared.engines.transformers_server import PAGE, cut_at, page_bytes

GREEDY = Sampling(temperature=0.0, max_tokens=24)
COUNTING = "".join(f"Step {number}: {number} + 1 = {number + 1}\n" for number in range(1, 5)) + "Step 5:"


@pytest.mark.parametrize(
    ("stops", "keep", "cut"),
    [
        (["\n"], True, "a\n"),
        (["\n"], False, "a"),
        (["c", "b"], False, "a\n"),
        (["\n\n", "\n"], True, "a\n"),
        (["x"], True, None),
        ([], True, None),
    ],
)
def test_where_text_is_cut(stops: list[str], keep: bool, cut: str | None) -> None:
    assert cut_at("a\nbc", stops, keep) == cut


def test_a_page_of_smollm2() -> None:
    config = {"num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 576}
    assert page_bytes(config, 2) == PAGE * 23_040  # 22.5 KiB a token


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    server = LocalServer(Plan(quickstart.NAME, quickstart.quickstart_model(), max_model_len=512, engine="transformers"))
    await server.start()
    yield server
    await server.stop()


@pytest.mark.engine
async def test_it_plays_the_part(server: LocalServer) -> None:
    from transformers import AutoTokenizer

    endpoint = server.endpoint()
    assert endpoint.engine == f"transformers 5.19.0 ({'cpu' if fast_dtype() == 'bfloat16' else 'cpu, fp32'})"
    assert (endpoint.local, endpoint.takes_ids, endpoint.guides) == (True, False, False)

    # every request has its own sampling and stop strings, though the first one made the batch
    hot = Sampling(temperature=2.0, max_tokens=24)
    warm, steps, cold = await asyncio.gather(
        endpoint.complete(COUNTING, n=6, sampling=hot),
        endpoint.complete(COUNTING, n=3, sampling=GREEDY, stop=["\n"], include_stop=True),
        endpoint.complete(COUNTING, n=2, sampling=Sampling(temperature=2.0, top_p=1e-6, max_tokens=24)),
    )
    assert len({choice.text for choice in warm.choices}) > 1 and len(warm.choices) == 6
    assert [choice.text for choice in steps.choices] == [" 5 + 1 = 6\n"] * 3
    assert {choice.finish_reason for choice in steps.choices} == {"stop"}
    assert len({choice.text for choice in cold.choices}) == 1 and cold.choices[0].text.startswith(" 5 + 1 = 6\n")
    assert steps.completion_tokens >= 3 * 9
    (choice,) = (await endpoint.complete(COUNTING, sampling=GREEDY, stop=["\n"])).choices
    assert choice.text == " 5 + 1 = 6"

    # chats, and the text that a chat becomes: nothing is trimmed, and completing it says what the chat says
    question = [Message(role="user", content="What is the capital of Japan?")]
    (answer,) = (await endpoint.chat(question, sampling=GREEDY)).choices
    assert "Tokyo" in answer.text and answer.finish_reason == "stop"
    assert (await endpoint.complete(await endpoint.render_chat(question), sampling=GREEDY)).choices[0].text == answer.text
    tokenizer = AutoTokenizer.from_pretrained(server.plan.folder)
    spaced = [Message(role="user", content=" Two lines.\n\n")]
    rendered = await endpoint.render_chat(spaced)
    assert rendered == tokenizer.apply_chat_template([spaced[0].model_dump()], tokenize=False, add_generation_prompt=True)
    assert " Two lines.\n\n<|im_end|>" in rendered
    form = Form(choices=("Tokyo", "Rome"))
    assert (await endpoint.chat(question, sampling=GREEDY, form=form)).choices  # not held to it, and not refused

    # what it cannot do is refused in words
    with pytest.raises(RequestRefused, match="maximum context length is 512 tokens"):
        await endpoint.complete("q", sampling=Sampling(max_tokens=600))
    with pytest.raises(RequestRefused, match="prompt must be a string"):
        await endpoint.complete([1, 2], sampling=GREEDY)
    with pytest.raises(EngineError, match="only a local engine tells token ids, and only vLLM"):
        await endpoint.tokenize("q")
