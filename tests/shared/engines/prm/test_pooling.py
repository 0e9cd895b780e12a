"""How a process reward model is served, asked, and understood; and what vLLM's command line is made of."""

import json
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from typing import Any

import pytest

from shared.contracts.models import ModelSpec
from shared.contracts.work import ModelRef
from shared.engines.client import Endpoint, EngineError, RequestRefused
from shared.engines.errors import ModelMissing
from shared.engines.local import Plan, vllm_command
from shared.engines.pooled import pooled
from shared.engines.pooling import servable_model
from shared.engines.prm import FORMATS
from shared.engines.roles import Engines
from shared.engines.transport import Patience, Server
from shared.ledger.records import UsageRow
from shared.settings import Settings
from tests.shared.engines.banks import OpenBank
from tests.shared.engines.scripted import Reply, Scripted, scripted_server

QUICK = Patience(attempts=3, first_wait=0.001, longest_wait=0.01, busy_seconds=5.0, connect_seconds=0.05)


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted_server() as script:
        yield script


@pytest.fixture
async def remote(server: Scripted) -> AsyncIterator[Endpoint]:
    connection = Server(server.url, None, QUICK)
    yield Endpoint(connection, "prm", uri="org/prm", engine=server.url, price_per_million=(2.0, 9.0), prm="skywork")
    await connection.close()


def answer(*outputs: list[list[float | None]], tokens: int = 5) -> Reply:
    data = [{"index": place, "object": "pooling", "data": rows} for place, rows in enumerate(outputs)]
    return Reply({"data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})


async def test_all_sequences_go_in_one_request_and_are_metered(remote: Endpoint, server: Scripted):
    record: Any = OpenBank()
    rows = record.rows
    server.script = [answer([[0.5], [1]], [[-2.0]])]
    found = await remote.metered("reward", record).score([(1, 2), (3,)])
    assert (found.outputs, found.tokens) == (([[0.5], [1]], [[-2.0]]), 5)
    (asked,) = server.asked
    assert server.paths == ["/pooling"]  # vLLM's own route: beside /v1
    assert asked == {"model": "prm", "input": [[1, 2], [3]], "task": "token_classify", "use_activation": False}
    assert rows == [UsageRow("reward", "org/prm", 1, 5, 0, 1e-5)]
    assert (await remote.score([])).outputs == ()
    assert len(server.asked) == 1


async def test_busy_servers_are_asked_again_and_refusals_are_not(remote: Endpoint, server: Scripted):
    server.script = [Reply({"error": {"message": "slow down"}}, status=429), Reply(cut=True), answer([[0.0]])]
    assert (await remote.score([[1]])).outputs == ([[0.0]],)
    server.script = [Reply({"error": {"message": "Unsupported task: 'token_classify'"}}, status=400)]
    with pytest.raises(RequestRefused, match="Unsupported task"):
        await remote.score([[1]])


async def test_a_remote_reward_model_tells_token_ids_and_its_window(remote: Endpoint, server: Scripted):
    server.script = [Reply({"tokens": [1, 2], "max_model_len": 4096})]
    assert await remote.tokenize("hi", special=True) == [1, 2]
    assert server.asked == [{"model": "prm", "prompt": "hi", "add_special_tokens": True}]
    assert remote.window == 4096


NONSENSE = {
    "nothing": ({}, "no outputs for 2 sequences"),
    "too few": ({"data": [{"index": 0, "data": [[1.0]]}]}, "1 outputs for 2 sequences"),
    "one twice": ({"data": [{"index": 0, "data": [[1.0]]}] * 2}, "do not say whose they are"),
    "no objects": ({"data": [1, 2]}, "do not say whose they are"),
    "whole sequences": ({"data": [{"index": 0, "data": [1.0]}, {"index": 1, "data": [1.0]}]}, "output 0 is not a list of logits"),
    "NaN": (
        {"data": [{"index": 1, "data": [[None]]}, {"index": 0, "data": [[1.0]]}]},
        "output 1 holds something that is no",
    ),
    "truth": (
        {"data": [{"index": 0, "data": [[True]]}, {"index": 1, "data": [[1.0]]}]},
        "output 0 holds something that is no",
    ),
}


@pytest.mark.parametrize(("body", "message"), NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_is_refused_in_words(remote: Endpoint, server: Scripted, body, message):
    with pytest.raises(ValueError, match=message):
        pooled(body, 2)
    server.script = [Reply(body)]
    with pytest.raises(EngineError, match=f"org/prm at {server.url} gave no scores, but .*{message}"):
        await remote.score([[1], [2]])


def test_outputs_come_in_the_order_of_the_sequences():
    assert pooled({"data": [{"index": 1, "data": [[1.0]]}, {"index": 0, "data": [[0.0]]}]}, 2) == [[[0.0]], [[1.0]]]


@pytest.mark.parametrize("prm", FORMATS)
def test_the_command_serves_scores(tmp_path, prm):
    told = dict(pairwise(vllm_command(Plan("m", tmp_path, prm=prm), 1)[0]))
    assert told["--runner"] == "pooling"
    assert json.loads(told["--pooler-config"]) == {"task": "token_classify", "tok_pooling_type": "ALL"}
    assert ("--convert" in told) == (prm in ("math-shepherd", "rlhflow"))  # the others bring their classifier
    assert "--runner" not in vllm_command(Plan("m", tmp_path), 1)[0]


def test_formats_are_those_of_recipes():
    assert [ModelSpec(model="m", prm=prm).prm for prm in FORMATS] == list(FORMATS)  # a recipe takes no other


async def test_an_endpoint_knows_its_format(ledger):
    engines = Engines(ledger, "w")
    spec = ModelSpec(model="org/prm", url="http://127.0.0.1:1/v1", prm="rlhflow")
    assert engines.remote(ModelRef(name="r", spec=spec)).prm == "rlhflow"
    await engines.close()


def test_only_skyworks_own_architecture_is_converted(tmp_path, monkeypatch):
    monkeypatch.setattr("shared.engines.pooling.settings", lambda: Settings(cache_dir=tmp_path / "cache"))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["Qwen2ForPrmModel"]}')
    assert servable_model(str(folder), "rlhflow") == folder
    with pytest.raises(ModelMissing, match=r"(?s)could not be converted for vLLM.*has no value head: score.bias, score.weight"):
        servable_model(str(folder), "skywork")
    assert not [path for path in (tmp_path / "cache" / "converted").iterdir() if path.is_dir()]
    (folder / "config.json").write_text('{"architectures": ["Qwen2ForTokenClassification"]}')
    assert servable_model(str(folder), "skywork") == folder
