"""Trainings whose weights two processes share, over gloo on CPUs: accelerate's FSDP itself (`fsdp_on_cpus.py` says how), ZeRO-3."""

from pathlib import Path
from typing import Any

import pytest

from services.trainer import launch
from services.trainer.job import Done, Event, Job, Started, Step
from shared.contracts.stages.train import Lora
from tests.services.trainer.test_methods import job_in, run
from tests.services.trainer.test_training import Listener, slow, weights


@pytest.fixture
def sharded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The training process shards on CPUs as well."""
    plain = launch.command

    def command(job_file, job: Job) -> list[str]:
        return [
            "tests.services.trainer.fsdp_on_cpus" if word == "services.trainer.train" else word for word in plain(job_file, job)
        ]

    monkeypatch.setattr(launch, "command", command)


async def train_sharded(folder, job: Job, stop_at: int | None = None) -> Listener:
    listener = Listener()

    async def hear(event: Event) -> None:
        listener.tell(event)
        if isinstance(event, Step) and event.step == stop_at:
            raise InterruptedError

    try:
        await launch.run(job, folder / "job.json", folder / "log.txt", hear)
    except InterruptedError:
        assert stop_at
    return listener


def apart(theirs: dict[str, Any], mine: dict[str, Any], base: Path) -> float:
    """How far two trained models are from each other, as a share of how far the training went from its base."""
    from safetensors.torch import load_file

    begun = load_file(base / "model.safetensors")
    between, gone = (
        sum(float(one[name].float().sub(other[name].float()).square().sum()) for name in begun) ** 0.5
        for one, other in ((theirs, mine), (mine, begun))
    )
    return between / gone


@slow
@pytest.mark.usefixtures("sharded")
@pytest.mark.parametrize("method", ["sft", "dpo", "prm", "adapter"])
async def test_two_processes_that_share_the_weights_train_as_one(tmp_path, tiny_model, method):
    import torch

    changes = {"epochs": 2, **({"lora": Lora(rank=4)} if method == "adapter" else {})}
    method = "sft" if method == "adapter" else method
    alone = run(job_in(tmp_path / "alone", tiny_model, method, **changes))
    job = job_in(tmp_path / "together", tiny_model, method, processes=2, accelerate="fsdp", **changes)
    together = await train_sharded(tmp_path, job)
    assert [step.loss for step in together.of(Step)] == pytest.approx([step.loss for step in alone.of(Step)], rel=1e-3)
    assert len(together.of(Started)) == len(together.of(Done)) == 1, "one process speaks for both"
    mine, theirs = weights(tmp_path / "alone"), weights(tmp_path / "together")
    assert mine.keys() == theirs.keys(), "the whole model is saved, not a part"
    assert {weight.dtype for weight in theirs.values()} == {torch.bfloat16} and apart(theirs, mine, tiny_model) < 0.1


@slow
@pytest.mark.usefixtures("sharded")
async def test_a_sharded_training_that_is_stopped_ends_as_if_it_had_not_been(tmp_path, tiny_model):
    job = job_in(tmp_path / "whole", tiny_model, "sft", processes=2, accelerate="fsdp")
    (tmp_path / "first").mkdir()
    whole = await train_sharded(tmp_path / "first", job)
    job = job_in(tmp_path / "halved", tiny_model, "sft", processes=2, accelerate="fsdp", save_steps=100)
    await train_sharded(tmp_path, job, stop_at=3)
    assert not (tmp_path / "halved" / "model").exists()
    rest = await train_sharded(tmp_path, job)
    (started,) = rest.of(Started)
    assert started.resumed_from and started.resumed_from >= 3
    losses = [step.loss for step in whole.of(Step)]
    assert [step.loss for step in rest.of(Step)] == pytest.approx(losses[started.resumed_from :], rel=1e-3)
    mine, theirs = weights(tmp_path / "whole"), weights(tmp_path / "halved")
    assert apart(theirs, mine, tiny_model) < 0.1


@slow
async def test_two_processes_under_deepspeed_train_as_one(tmp_path, tiny_model, monkeypatch):
    """ZeRO-3. DeepSpeed is no package of the laptop's; where it is installed, it knows CPUs itself (DS_ACCELERATOR)."""
    pytest.importorskip("deepspeed")
    plain = launch.environment
    told = {"DS_ACCELERATOR": "cpu", "ACCELERATE_USE_CPU": "false"}  # told of CPUs, accelerate would leave DeepSpeed out
    monkeypatch.setattr(launch, "environment", lambda processes=1: plain(processes) | told)
    alone = run(job_in(tmp_path / "alone", tiny_model, "sft", epochs=2))
    job = job_in(tmp_path / "together", tiny_model, "sft", processes=2, accelerate="zero3", epochs=2)
    together = await train_sharded(tmp_path, job)
    assert [step.loss for step in together.of(Step)] == pytest.approx([step.loss for step in alone.of(Step)], rel=1e-3)
    assert weights(tmp_path / "alone").keys() == weights(tmp_path / "together").keys()
