"""Whole trainings of a tiny model: in this process for what must be exact, under `accelerate launch` for what must be real."""

import asyncio
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from services.trainer import launch, tasks
from services.trainer.check import problem_of
from services.trainer.job import STOPPED, Done, Event, Job, Sample, Started, Step, Stopped, parse_event, write_rows
from services.trainer.stopping import Stopping
from shared.contracts.base import Origin
from shared.contracts.models import ModelSpec
from shared.contracts.recipe import Recipe
from shared.contracts.report import Checkpoint, Pick
from shared.contracts.stages import RetrainStage
from shared.contracts.thought import Example
from shared.contracts.work import ModelRef, Payload
from shared.ledger.database import Ledger
from shared.ledger.locks import acquire_lock
from shared.settings import Settings
from shared.work.context import Work
from shared.work.registry import Hopeless

T = TypeVar("T")
slow = pytest.mark.timeout(600)  # processes that import torch: a minute when idle, several on a loaded machine


def sample(n: int) -> Sample:
    return Sample(id=str(n), problem_id=str(n), prompt=f"What is {n} + {n}?", completion=f"The answer is {n + n}." * (n % 3 + 1))


def job_in(folder: Path, base: Path, **changes) -> Job:
    folder.mkdir()
    (folder / "checkpoints").mkdir()
    write_rows(folder / "rows.jsonl", [sample(n) for n in range(20)])
    job = Job(
        base=str(base),
        data=str(folder / "rows.jsonl"),
        output=str(folder / "model"),
        checkpoints=str(folder / "checkpoints"),
        epochs=4,
        learning_rate=3e-3,
        batch_size=8,
        max_length=256,
        warmup_share=0.1,
        save_steps=4,
        seed=1,
    )
    return job.model_copy(update=changes)


class Listener:
    """Collects events; tells the training to stop after a step, if asked to."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.events: list[Event] = []
        self.stopping = Stopping()
        self._stop_at = stop_at

    def tell(self, event) -> None:
        self.events.append(event)
        if isinstance(event, Step) and event.step == self._stop_at:
            self.stopping.tell()

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model" / "model.safetensors")


def computing_in(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has trainings take this machine's processor for one that computes fast in `dtype`."""
    monkeypatch.setattr("services.trainer.models.fast_dtype", lambda: dtype)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_training_stopped_and_resumed_ends_with_the_same_weights_bit_for_bit(tmp_path, tiny_model, monkeypatch, dtype):
    import torch

    from services.trainer.training import train

    computing_in(dtype, monkeypatch)
    whole = Listener()
    train(job_in(tmp_path / "whole", tiny_model), whole.stopping, whole.tell)
    (started,), (done,) = whole.of(Started), whole.of(Done)
    assert (started.samples, started.steps, started.resumed_from, started.too_long) == (20, 10, None, 0)
    assert started.shown.endswith("<|im_end|>⟧") and "⟦The answer is " in started.shown
    losses = [step.loss for step in whole.of(Step)]
    assert len(losses) == 10 and losses[-1] < losses[0]
    assert [step.learning_rate for step in whole.of(Step)][:3] == pytest.approx([0.0015, 0.003, 0.003 * 8 / 9])
    assert done.loss == pytest.approx(losses[-1])

    job = job_in(tmp_path / "halved", tiny_model)
    first = Listener(stop_at=6)  # between two regular checkpoints
    train(job, first.stopping, first.tell)
    stopped_after = first.of(Stopped)[0].step
    assert 6 <= stopped_after <= 7 and not first.of(Done) and not (tmp_path / "halved/model").exists()
    kept = tmp_path / f"halved/checkpoints/checkpoint-{stopped_after}/trainer_state.json"
    state = json.loads(kept.read_text())
    assert state["log_history"][-1]["seconds_of_all_attempts"] > 0
    state["log_history"][-1]["seconds_of_all_attempts"] = 3e6
    kept.write_text(json.dumps(state))
    second = Listener()
    train(job, second.stopping, second.tell)
    assert second.of(Started)[0].resumed_from == stopped_after
    assert second.of(Done)[0].seconds >= 3e6, "its clock goes on where the checkpoint's stood"
    assert len(list((tmp_path / "halved/checkpoints").glob("checkpoint-*"))) == 1, "older ones are deleted"
    assert [step.loss for step in [*first.of(Step), *second.of(Step)]] == losses
    mine, theirs = weights(tmp_path / "whole"), weights(tmp_path / "halved")
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert {tensor.dtype for tensor in mine.values()} == {torch.bfloat16}


@pytest.mark.parametrize(("begun", "ended"), [("bfloat16", "float32"), ("float32", "bfloat16")])
def test_a_training_goes_on_on_a_machine_that_computes_in_another_type(tmp_path, tiny_model, monkeypatch, begun, ended):
    from services.trainer.training import train

    computing_in("float32", monkeypatch)
    whole = Listener()
    train(job_in(tmp_path / "whole", tiny_model), whole.stopping, whole.tell)
    job = job_in(tmp_path / "moved", tiny_model)
    computing_in(begun, monkeypatch)
    first = Listener(stop_at=6)
    train(job, first.stopping, first.tell)
    computing_in(ended, monkeypatch)
    second = Listener()
    train(job, second.stopping, second.tell)
    assert second.of(Started)[0].resumed_from == first.of(Stopped)[0].step
    losses = [step.loss for step in [*first.of(Step), *second.of(Step)]]
    assert losses == pytest.approx([step.loss for step in whole.of(Step)], rel=0.01)


@slow
def test_sigterm_saves_and_exits_with_a_code_of_its_own(tmp_path, tiny_model):
    job = job_in(tmp_path / "job", tiny_model, epochs=4000)
    (tmp_path / "job.json").write_text(job.model_dump_json())
    command = [sys.executable, "-m", "services.trainer.train", str(tmp_path / "job.json")]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_WAIT_POLICY": "PASSIVE"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout
        step = 0
        for line in process.stdout:
            event = parse_event(line)
            if isinstance(event, Step) and not step:
                step = event.step
                process.send_signal(signal.SIGTERM)
        assert process.wait() == STOPPED, process.stderr.read().decode() if process.stderr else ""
    assert isinstance(event, Stopped) and event.step >= step
    assert (tmp_path / f"job/checkpoints/checkpoint-{event.step}/complete").exists()


class FakeLease:
    run_id, stage, key, item_id = "run", "teach", "train", "run/teach/train"


class FakeWork:
    """A Work over records in memory and a real ledger for locks."""

    def __init__(self, ledger: Ledger, artifacts: str, base: Path, epochs: float, texts: int) -> None:
        self.ledger, self.lease, self.holder = ledger, FakeLease(), "worker"
        self.recipe = Recipe.model_validate(
            {
                "name": "tiny",
                "models": {"base": {"model": str(base)}},
                "problems": {"p": {"set": "p"}},
                "stages": {
                    "data": {"kind": "import", "problems": "p"},
                    "teach": {"kind": "train", "base": "base", "data": "data", "epochs": epochs, "save_steps": 10_000},
                },
            }
        )
        self.stage = self.recipe.stages["teach"]
        self.payload = Payload(roles={"base": ModelRef(name="base", spec=ModelSpec(model=str(base)))})
        self.folder = f"{artifacts}/runs/run/teach/train/1"
        self.shown: list[dict[str, Any]] = []
        self.first_step = asyncio.Event()
        self.lasted = 0
        self._texts = texts

    async def records(self, stage: str, kind: str) -> list[dict[str, Any]]:
        if kind != "example":
            return []
        origin = Origin(run_id="run", stage="data")
        made = [
            Example(id=one.id, problem_id=one.id, question=one.prompt, answer="?", text=one.completion, origin=origin)
            for one in map(sample, range(self._texts))
        ]
        return [example.model_dump(mode="json") for example in made]

    def origin(self, model: str | None = None, prompt: str | None = None) -> Origin:
        return Origin(run_id="run", stage="teach", model=model, prompt=prompt)

    async def progress(self, figures: dict[str, Any]) -> None:
        self.shown.append(figures)
        self.first_step.set()

    async def lasts(self) -> None:
        self.lasted += 1


@pytest.fixture
def home(ledger, tmp_path, monkeypatch):
    chosen = Settings(artifacts_url=f"file://{tmp_path}/artifacts", cache_dir=tmp_path / "cache", device="bench")
    trainer = [f"services.trainer.{name}" for name in ("tasks", "device", "checkpoints")]
    for module in ("shared.artifacts", "shared.engines.device", "shared.engines.downloads", *trainer):
        monkeypatch.setattr(f"{module}.settings", lambda: chosen)
    return ledger, chosen.artifacts_url


@slow
async def test_a_cancelled_item_is_taken_up_again_and_becomes_a_checkpoint(home, tmp_path, tiny_model):
    ledger, artifacts = home
    base = Path(shutil.copytree(tiny_model, tmp_path / "cache" / "downloads" / "base"))
    first = FakeWork(ledger, artifacts, base, epochs=200, texts=16)
    attempt = asyncio.ensure_future(tasks.train(cast(Work, first)))
    await asyncio.wait({attempt, asyncio.create_task(first.first_step.wait())}, return_when=asyncio.FIRST_COMPLETED)
    assert not attempt.done(), attempt.exception()
    assert not acquire_lock(ledger, "device:bench", "engine", 60), "a training holds its device"
    with base.with_suffix(".use").open("ab") as use, pytest.raises(BlockingIOError):  # and its base, in the cache
        fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert acquire_lock(ledger, "device:bench", "training", 0)
    kept = list((tmp_path / "artifacts/runs/run/teach").glob("checkpoints-*/checkpoint-*/complete"))
    assert len(kept) == 1, "it saved where it was"

    with base.with_suffix(".use").open("ab") as use:
        fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)

    second = FakeWork(ledger, artifacts, base, epochs=200, texts=16)
    result = await tasks.train(cast(Work, second))
    (record,) = result.records
    checkpoint = Checkpoint.model_validate(record.body)
    assert (record.kind, record.key) == ("checkpoint", "checkpoint")
    assert checkpoint.resumed_from and first.shown[0]["step"] <= checkpoint.resumed_from < checkpoint.steps == 400
    assert result.model and result.model.uri == checkpoint.uri == f"{second.folder}/model"
    assert second.shown[-1]["step"] == second.shown[-1]["of"] == 400
    assert second.lasted == 1, "its checkpoint forgives deaths before it; that it is done, and not yet in the store, does not"
    model = tmp_path / "artifacts/runs/run/teach/train/1/model"
    names = {path.name for path in model.iterdir()}
    assert {"model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja"} <= names
    assert problem_of(model) is None, "what was trained can be trained on"
    assert "stage `teach` of recipe `tiny`" in (model / "README.md").read_text()
    assert list((tmp_path / "artifacts/runs/run/teach").glob("checkpoints-*/checkpoint-400")), "should the commit fail"
    assert result.afterwards
    result.afterwards()
    assert not list((tmp_path / "artifacts/runs/run/teach").glob("checkpoints-*")), "its checkpoints are gone"
    assert not list((tmp_path / "cache/training").glob("scratch.*"))


@slow
async def test_what_the_process_refuses_is_hopeless(home, tmp_path, tiny_model, make_tokenizer):
    ledger, artifacts = home
    base = tmp_path / "base"
    base.mkdir()
    for file in tiny_model.iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    make_tokenizer(lambda template: template.replace("'<|im_end|>' + ", "")).save_pretrained(base)
    with pytest.raises(Hopeless, match="no end-of-turn token follows"):
        await tasks.train(cast(Work, FakeWork(ledger, artifacts, base, epochs=1, texts=4)))


@slow
async def test_two_processes_train_as_one(tmp_path, tiny_model):
    from services.trainer.training import train

    alone = Listener()
    train(job_in(tmp_path / "alone", tiny_model, epochs=1), alone.stopping, alone.tell)
    together = Listener()

    async def hear(event: Event) -> None:
        together.tell(event)

    job = job_in(tmp_path / "together", tiny_model, epochs=1, processes=2)
    await launch.run(job, tmp_path / "job.json", tmp_path / "log.txt", hear)
    assert [step.loss for step in together.of(Step)] == pytest.approx([step.loss for step in alone.of(Step)], rel=1e-3)
    assert len(together.of(Started)) == len(together.of(Done)) == 1, "one process speaks for both"


class PickedWork:
    """What a `retrain` item asks of a Work before it trains."""

    def __init__(self, stage: RetrainStage) -> None:
        taught = {"kind": "train", "base": "base", "data": "data"}
        stages = {
            "data": {"kind": "import", "problems": "p"},
            "more": {"kind": "import", "problems": "p"},
            "one": {**taught, "learning_rate": 1e-3},
            "two": {**taught, "learning_rate": 1e-4, "epochs": 2},
            "tries": {"kind": "evaluate", "models": ["one", "two"], "problems": "p"},
            "best": {"kind": "pick", "measured": "tries", "models": ["one", "two"]},
            "again": stage.model_dump(),
        }
        head = {"name": "t", "models": {"base": {"model": "m"}}, "problems": {"p": {"set": "p"}}}
        self.recipe = Recipe.model_validate({**head, "stages": stages})
        self.stage = self.recipe.stages["again"]

    async def records(self, stage: str, kind: str) -> list[dict[str, Any]]:
        origin = Origin(run_id="run", stage="best")
        picked = Pick(origin=origin, measured="tries", model="two", candidates={"one": (0.1, 0.0, 1), "two": (0.2, 0.0, 1)})
        checkpoint = Checkpoint(
            origin=origin, uri="u", base="m", method="sft", samples=1, steps=1, epochs=1, train_tokens=77, loss=0, seconds=1
        )
        body = {("best", "pick"): picked, ("one", "checkpoint"): checkpoint, ("two", "checkpoint"): checkpoint}[stage, kind]
        return [body.model_dump(mode="json")]


async def test_what_was_picked_is_trained_again_with_another_seed_and_budget():
    work = cast(Work, PickedWork(RetrainStage(like="best", seed=3, tokens_of="one")))
    stage, _ = await tasks._settings(work)
    assert (stage.learning_rate, stage.epochs, stage.seed) == (1e-4, 2, 3)
    assert await tasks._budget(work, stage) == 77
    elsewhere, _ = await tasks._settings(cast(Work, PickedWork(RetrainStage(like="best", seed=0, data="more"))))
    assert (elsewhere.learning_rate, elsewhere.data, stage.data) == (1e-4, "more", "data")
    plain = cast(Work, PickedWork(RetrainStage(like="best", seed=4)))
    assert await tasks._budget(plain, (await tasks._settings(plain))[0]) is None


async def test_the_picked_training_itself_is_not_trained_a_second_time():
    result = await tasks.train(cast(Work, PickedWork(RetrainStage(like="best", seed=0))))  # a training's seed, if none is given
    assert result.model is not None and result.model.uri == "u" and result.summary == {"same_as": "two"}
    (record,) = result.records
    assert (record.kind, record.body["train_tokens"]) == ("checkpoint", 77)
