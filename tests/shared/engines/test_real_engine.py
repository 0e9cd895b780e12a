"""vLLM itself with SmolLM2: what the fakes of the other tests stand for."""

import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from shared.contracts.base import Message
from shared.contracts.models import ModelSpec, Sampling
from shared.contracts.work import ModelRef, engine_set
from shared.engines import quickstart
from shared.engines.client import Endpoint, EngineDied, RequestRefused
from shared.engines.local import LocalServer, Plan
from shared.engines.roles import Engines
from shared.engines.supervise import descendants
from tests.shared.engines.processes import alive

pytestmark = pytest.mark.engine

QUESTION = [Message(role="user", content="What is the capital of Japan?")]
"""Every token of its answer is nearly one nat ahead of the next (of Paris, 0.1), so that no processor's rounding changes it."""
GREEDY = Sampling(temperature=0.0, max_tokens=24)


async def test_chat_gives_sensible_text(smollm_endpoint: Endpoint):
    completion = await smollm_endpoint.chat(QUESTION, sampling=GREEDY)
    (choice,) = completion.choices
    assert "Tokyo" in choice.text  # the conversion was right
    assert choice.finish_reason == "stop"
    assert completion.prompt_tokens == len(await smollm_endpoint.tokenize_chat(QUESTION))
    assert smollm_endpoint.engine.startswith("vllm ")


async def test_token_ids_in_and_out(smollm_endpoint: Endpoint):
    prompt = await smollm_endpoint.tokenize_chat(QUESTION)
    by_ids = await smollm_endpoint.complete(prompt, n=4, sampling=Sampling(temperature=0.9, max_tokens=8))
    assert len(by_ids.choices) == 4
    assert by_ids.completion_tokens == sum(len(choice.token_ids) for choice in by_ids.choices)
    for choice in by_ids.choices:
        if choice.finish_reason == "length":
            assert len(choice.token_ids) == 8
            # not the other way round: a model may sample ids that the tokenizer would join
            assert await smollm_endpoint.detokenize(choice.token_ids) == choice.text


async def test_a_step_ends_with_its_newline(smollm_endpoint: Endpoint):
    prompt = "".join(f"Step {number}: {number} + 1 = {number + 1}\n" for number in range(1, 5)) + "Step 5:"
    completion = await smollm_endpoint.complete(prompt, sampling=GREEDY, stop=["\n"], include_stop=True)
    (choice,) = completion.choices
    assert choice.text == " 5 + 1 = 6\n"
    assert choice.finish_reason == "stop"
    assert await smollm_endpoint.tokenize(choice.text) == list(choice.token_ids)


async def test_a_line_can_end_at_a_token_and_not_begin_with_one(smollm_endpoint: Endpoint):
    breaks = await smollm_endpoint.line_breaks()
    assert all("\n" in text for text in breaks.values())
    newline, blank = await smollm_endpoint.tokenize("\n"), await smollm_endpoint.tokenize("\n\n")
    assert [breaks[token] for token in (*newline, *blank)] == ["\n", "\n\n"]
    line = "Step 1: 1 + 1 = 2"
    prompt = await smollm_endpoint.tokenize(f"{line}\n" * 4 + line)
    asked = {"sampling": GREEDY, "stop": ["\n"], "include_stop": True, "stop_ids": sorted(breaks)}
    [ended] = (await smollm_endpoint.complete(prompt, **asked)).choices
    assert (ended.text, list(ended.token_ids), ended.finish_reason) == ("\n", newline, "stop")
    [begun] = (await smollm_endpoint.complete(prompt, min_tokens=1, **asked)).choices
    assert begun.token_ids[0] not in breaks and len(begun.token_ids) > 1
    if begun.finish_reason == "stop":
        assert begun.token_ids[-1] in breaks and begun.text.endswith("\n")


async def test_digits_are_single_tokens(smollm_endpoint: Endpoint):
    # the model's own pre-tokenizer, which the conversion has to restore: splits digits before white space
    one = [await smollm_endpoint.tokenize(text) for text in ("\n\n", "3", "1")]
    assert await smollm_endpoint.tokenize("\n\n31") == [token for ids in one for token in ids]


async def test_a_refusal_is_in_the_servers_words(smollm_endpoint: Endpoint):
    with pytest.raises(RequestRefused, match="max_model_len=2048"):
        await smollm_endpoint.complete("q", sampling=Sampling(max_tokens=100_000))


def changed_copy(folder: Path) -> Path:
    """SmolLM2 with noise in all its matrices, the embedding that is its head included."""
    shutil.copytree(quickstart.quickstart_model(), folder)
    tensors = load_file(folder / "model.safetensors")
    noise = torch.Generator().manual_seed(0)
    for tensor in tensors.values():
        if tensor.dim() > 1:
            scale = 0.12 * tensor.float().std()
            tensor += (torch.randn(tensor.shape, generator=noise) * scale).to(tensor.dtype)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


async def test_an_engine_is_killed_and_restarted_and_loads_another_checkpoint_and_close_leaves_nothing(ledger, tmp_path):
    engines = Engines(ledger, "worker")
    ref = ModelRef(name="base", spec=ModelSpec(model=quickstart.NAME, max_model_len=512))
    before = set(descendants(os.getpid()))

    def of_engine(word: bytes) -> list[int]:
        mine = set(descendants(os.getpid())) - before
        return [pid for pid in mine if word in Path(f"/proc/{pid}/cmdline").read_bytes()]

    async with engines.using(engine_set({"policy": ref})) as serving:
        endpoint = await serving.endpoint(ref)
        assert (await endpoint.complete("1 + 1 =", sampling=GREEDY)).choices
        (core,) = of_engine(b"EngineCore")
        os.kill(core, signal.SIGKILL)
        with pytest.raises(EngineDied):
            await endpoint.complete("1 + 1 =", sampling=GREEDY)
        assert not alive(core)
        endpoint = await serving.endpoint(ref)
        assert (await endpoint.complete("1 + 1 =", sampling=GREEDY)).choices
    (core,) = of_engine(b"EngineCore")

    # another checkpoint of the architecture is loaded in its place, and it is that one which answers
    other = ModelRef(name="other", spec=ModelSpec(model=str(changed_copy(tmp_path / "other")), max_model_len=512))

    async def says(ref: ModelRef) -> str:
        async with engines.using(engine_set({"policy": ref})) as serving:
            endpoint = await serving.endpoint(ref)
            assert endpoint.uri == ref.spec.model
            return (await endpoint.chat(QUESTION, sampling=GREEDY)).choices[0].text

    answers = [await says(ref) for ref in (ref, other, ref, other)]
    assert of_engine(b"EngineCore") == [core], "the process stayed"
    assert answers[:2] == answers[2:] and answers[0] != answers[1]
    assert "Tokyo" in answers[0]

    family = set(descendants(os.getpid())) - before
    await engines.close()
    fresh = LocalServer(Plan("fresh", Path(other.spec.model), max_model_len=512))
    await fresh.start()
    assert (await fresh.endpoint().chat(QUESTION, sampling=GREEDY)).choices[0].text == answers[1]
    await fresh.stop()
    assert not any(alive(pid) for pid in family)
