"""The trainer's handlers: `train`, and the preflight that proves a base model trainable before a run starts."""

import asyncio
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path

import structlog

from services.trainer import checkpoints, launch
from services.trainer.card import code_version, model_card
from services.trainer.check import NotTrainable, check_machine, check_trainable
from services.trainer.device import with_device
from services.trainer.gather import gather
from services.trainer.job import Done, Event, Job, Saved, Started, Step, fingerprint, write_rows
from services.trainer.leftovers import scratch_prefix, sweep
from shared.artifacts import all_or_nothing, upload_folder
from shared.contracts.recipe import Recipe
from shared.contracts.report import Checkpoint, Pick
from shared.contracts.stages import RetrainStage, TrainStage
from shared.engines.downloads import held
from shared.engines.models import resolve_model
from shared.ledger.items import NewModel, NewRecord, Result
from shared.prompts import version
from shared.settings import settings
from shared.work.context import Work
from shared.work.registry import Hopeless, handles

log = structlog.get_logger()
PROGRESS_SECONDS = 1.0
CODE = code_version()
"""Of what this process loaded: asked before anybody changes the checkout."""


@handles("preflight.trainable")
async def trainable(work: Work) -> Result:
    """Proves that the model resolves and can be trained, and that this machine has what the recipe's trainings ask of it."""
    (ref,) = work.payload.roles.values()
    try:
        trainings = {name: stage for name, stage in work.recipe.stages.items() if isinstance(stage, TrainStage)}
        for name, stage in trainings.items():
            check_machine(name, stage)
        mine = [stage for stage in trainings.values() if _root(work.recipe, stage) == ref.name]
        judges, packs = any(stage.method == "prm" for stage in mine), any(stage.packing for stage in mine)
        longest = max(stage.max_length for stage in mine)
        await asyncio.to_thread(check_trainable, ref.spec.model, judges, longest, packs)
    except NotTrainable as error:
        raise Hopeless(str(error)) from error
    return Result(records=[NewRecord("preflight", ref.name, {"model": ref.name, "trainable": True})])


@handles("retrain")
@handles("train")
async def train(work: Work) -> Result:
    """One training, from the ledger's records to a checkpoint; a second attempt goes on from the first one's last checkpoint."""
    stage, picked = await _settings(work)
    if picked and stage == work.recipe.stages[picked]:
        return await _that_of(work, picked)
    base = work.payload.roles["base"]
    rows = await gather(work, stage)
    budget = await _budget(work, stage)
    folder = await asyncio.to_thread(resolve_model, base.spec.model)
    place = checkpoints.place_of(work.lease.run_id, work.lease.stage, fingerprint(stage, base.spec.model, rows, budget))
    cache = settings().cache_dir.expanduser() / "training"
    with held(folder), all_or_nothing(work.folder, cache, place.folder):  # an adapter's base is read once more at the end
        cache.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(sweep, work.ledger, cache)
        mine = scratch_prefix(work.lease.item_id)
        for left in cache.glob(f"{mine}*"):  # an attempt that was killed could not delete its own
            await asyncio.to_thread(shutil.rmtree, left, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=mine, dir=cache))
        try:
            await asyncio.to_thread(write_rows, scratch / "rows.jsonl", rows)
            await asyncio.to_thread(checkpoints.fetch, place)
            job = Job(
                name=f"{work.lease.run_id}/{work.lease.stage}",
                train_tokens=budget,
                base=str(folder),
                base_name=base.spec.model,
                data=str(scratch / "rows.jsonl"),
                output=str(scratch / "model"),
                checkpoints=str(place.folder),
                mirror=place.mirror,
                **stage.model_dump(include=set(Job.model_fields) & set(TrainStage.model_fields) - {"base", "data"}),
            )
            return await _run(work, stage, job, scratch)
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)  # the item's next attempt may have been faster


async def _run(work: Work, stage: TrainStage, job: Job, scratch: Path) -> Result:
    """The job on this process's device, and what came of it in the artifact store."""
    progress = Progress(work)
    running = launch.run(job, scratch / "job.json", scratch / "log.txt", progress.hear)
    done = await with_device(work.ledger, f"{work.holder}/{work.lease.item_id}", running)
    started = progress.started
    assert started, "a training that is done has started"
    uri = f"{work.folder}/model"
    checkpoint = Checkpoint(
        origin=work.origin(model=job.base_name, prompt=version("solve")),
        uri=uri,
        base=job.base_name,
        method=stage.method,
        data=stage.data,
        config=stage.config,
        seed=stage.seed,
        code=CODE,
        samples=started.samples,
        steps=done.steps,
        epochs=done.epochs,
        train_tokens=done.train_tokens,
        loss=done.loss,
        seconds=done.seconds,
        device=started.device,
        resumed_from=started.resumed_from,
        too_long=started.too_long,
        unfit=started.unfit,
    )
    (scratch / "model" / "README.md").write_text(model_card(work.recipe, stage, checkpoint))
    place = checkpoints.Place(Path(job.checkpoints), job.mirror)
    await asyncio.to_thread(upload_folder, scratch / "model", uri)
    await asyncio.to_thread(upload_folder, place.folder / checkpoints.METRICS, f"{work.folder}/{checkpoints.METRICS}")
    body = checkpoint.model_dump(mode="json")
    left_out = {"too_long": started.too_long, **({"unfit": started.unfit} if started.unfit else {})}
    summary = {"loss": round(done.loss, 4), "steps": done.steps, "samples": started.samples, **left_out}
    return Result(
        records=[NewRecord("checkpoint", "checkpoint", body)],
        model=NewModel(uri, body),
        summary=summary,
        afterwards=partial(checkpoints.discard, place),
    )


def _root(recipe: Recipe, stage: TrainStage) -> str:
    """The recipe's model that a training's base goes back to."""
    while (earlier := recipe.training(stage.base)) is not None:
        stage = earlier
    return stage.base


async def _settings(work: Work) -> tuple[TrainStage, str | None]:
    """The stage, and None; of a `retrain`, the training that was picked, with what is given here, and its name."""
    stage: TrainStage | RetrainStage = work.stage
    if isinstance(stage, TrainStage):
        return stage, None
    (body,) = await work.records(stage.like, "pick")
    name = Pick.model_validate(body).model
    picked = work.recipe.stages[name]
    assert isinstance(picked, TrainStage), "a recipe is checked: trainings are picked"
    return stage.of(picked), name


async def _that_of(work: Work, picked: str) -> Result:
    """What comes of a `retrain` with the seed, budget and data of the training picked: its checkpoint. Nothing is trained twice."""
    (body,) = await work.records(picked, "checkpoint")
    uri = Checkpoint.model_validate(body).uri
    return Result(records=[NewRecord("checkpoint", "checkpoint", body)], model=NewModel(uri, body), summary={"same_as": picked})


async def _budget(work: Work, stage: TrainStage) -> int | None:
    """The tokens that the training named by `tokens_of` saw."""
    if stage.tokens_of is None:
        return None
    (body,) = await work.records(stage.tokens_of, "checkpoint")
    return Checkpoint.model_validate(body).train_tokens


class Progress:
    """Hears the training's events: steps go to the ledger at most once a second, the rest to the log."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._shown_at = 0.0
        self.started: Started | None = None

    async def hear(self, event: Event) -> None:
        """One event. Raises LeaseLost if the item is no longer ours, which ends the training."""
        match event:
            case Started():
                self.started = event
                log.info("training", item=self._work.lease.item_id, **event.model_dump(exclude={"event"}))
            case Step():
                last = event.step == event.of
                if last or time.monotonic() - self._shown_at >= PROGRESS_SECONDS:
                    self._shown_at = time.monotonic()
                    await self._work.progress(event.model_dump(exclude={"event"}))
            case Saved() | Done():
                if isinstance(event, Saved):
                    await self._work.lasts()
                log.info(event.event, item=self._work.lease.item_id, **event.model_dump(exclude={"event"}))
