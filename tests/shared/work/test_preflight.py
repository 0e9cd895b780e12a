"""The first item of a model: a process reward model is proven by scores, any other by words."""

import shutil
from types import SimpleNamespace

import pytest

from shared.contracts.models import ModelSpec
from shared.contracts.work import ModelRef
from shared.engines import quickstart
from shared.engines.local import LocalServer, Plan
from shared.work.preflight import answers
from shared.work.registry import Hopeless
from tests.shared.engines.prm.fakes import FakePrm


def work_of(endpoint) -> SimpleNamespace:
    async def asked(role: str):
        return endpoint

    ref = ModelRef(name="judge", spec=ModelSpec(model="org/prm", prm=endpoint.prm or None))
    return SimpleNamespace(payload=SimpleNamespace(roles={"policy": ref}), endpoint=asked)


@pytest.mark.parametrize("prm", ["math-shepherd", "rlhflow", "skywork", "qwen2.5-math-prm"])
async def test_a_process_reward_model_scores_a_probe(prm):
    endpoint = FakePrm(prm)
    result = await answers(work_of(endpoint))
    ((text,),) = endpoint.requests
    assert "What is 1 + 1?" in text and "The answer is 2." in text
    assert result.records[0].body == {"model": "judge", "engine": "fake 1.0", "tokens": result.summary["tokens"]}
    assert result.summary["tokens"] > 20


async def test_a_model_that_scores_nonsense_rejects_the_run():
    endpoint = FakePrm("skywork")
    endpoint.change = lambda outputs: outputs[0].__setitem__(-1, [float("nan")])
    with pytest.raises(Hopeless, match=r"models\.judge: fake://prm \(prm: skywork\) gave \[nan\] for a step: no score"):
        await answers(work_of(endpoint))
    with pytest.raises(Hopeless, match=r"models\.judge: its window of 5 tokens holds no question: raise max_model_len"):
        await answers(work_of(FakePrm("skywork", window=5)))


@pytest.mark.engine
async def test_a_real_model_whose_chat_template_fails_rejects_the_run(tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(quickstart.quickstart_model(), folder)
    (folder / "chat_template.jinja").write_text("{{ raise_exception('roles must alternate') }}")
    server = LocalServer(Plan("broken", folder, max_model_len=256))
    await server.start()
    try:
        with pytest.raises(Hopeless) as caught:
            await answers(work_of(server.endpoint()))
    finally:
        await server.stop()
    assert str(caught.value).startswith("models.judge: ") and "roles must alternate" in str(caught.value)
