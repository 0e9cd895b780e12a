"""A run in a real ledger with one training, and a worker that works it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

import services.trainer.tasks  # noqa: F401  (registers its handlers)
from shared.contracts.base import Origin
from shared.contracts.models import ModelSpec
from shared.contracts.recipe import Recipe
from shared.contracts.thought import Example
from shared.contracts.work import TRAINING, ModelRef, Payload
from shared.ledger.database import Ledger
from shared.ledger.items import NewItem, NewRecord, Result, claim, commit, item_name
from shared.ledger.opening import open_stage
from shared.ledger.records import count_records
from shared.ledger.runs import NewStage, close_stage, create_run, model_uri, move_run
from shared.ledger.tables import RunState, StageState, items
from shared.settings import settings
from shared.work.runtime import Runtime


class Bench:
    """A stage `teach` of one item, to be trained from `base` on the examples of a stage `data` that is done."""

    def __init__(self, base: Path, texts: Sequence[str], **training: Any) -> None:
        stages = {
            "data": {"kind": "import", "problems": "p"},
            "teach": {"kind": "train", "base": "base", "data": "data", "epochs": 1, **training},
        }
        head = {"name": "tiny", "models": {"base": {"model": str(base)}}, "problems": {"p": {"set": "p"}}}
        recipe = Recipe.model_validate({**head, "stages": stages})
        self.ledger = Ledger(settings().database_url)
        self.ledger.migrate()
        needs = [NewStage("data", "import", ()), NewStage("teach", "train", ("data",))]
        self.run = create_run(self.ledger, "tiny", recipe.model_dump(mode="json"), needs)[0]
        close_stage(self.ledger, self.run, "preflight", StageState.DONE)
        move_run(self.ledger, self.run, RunState.CHECKING, RunState.RUNNING)
        origin = Origin(run_id=self.run, stage="data")
        examples = [
            Example(id=f"p{place:03}", problem_id=f"p{place:03}", question="What is 2 + 3?", answer="5", text=text, origin=origin)
            for place, text in enumerate(texts)
        ]
        open_stage(self.ledger, self.run, "data", [NewItem("0", "distiller", {"version": 1})])
        lease = claim(self.ledger, item_name(self.run, "data", "0"), "hands", 60)
        assert lease is not None
        commit(self.ledger, lease, Result([NewRecord("example", one.id, one.model_dump(mode="json")) for one in examples]))
        payload = Payload(roles={"base": ModelRef(name="base", spec=ModelSpec(model=str(base)))})
        open_stage(self.ledger, self.run, "teach", [NewItem("train", "trainer", payload.model_dump(mode="json"), TRAINING)])
        self._runtime = Runtime(settings(), "trainer", 1)
        self._runtime.start()

    @property
    def folder(self) -> Path:
        """Where the stage's files go."""
        return Path(settings().artifacts_url.removeprefix("file://")) / "runs" / self.run / "teach"

    async def attempt(self) -> Any:
        """Works the item as a worker does, waits between attempts left out; returns its row."""
        name = item_name(self.run, "teach", "train")
        with self.ledger.write() as connection:
            connection.execute(update(items).values(not_before=0.0))
        await asyncio.to_thread(self._runtime.work, name)
        with self.ledger.read() as connection:
            return connection.execute(select(items).where(items.c.id == name)).one()

    def registered(self) -> tuple[int, str | None]:
        """Records of the stage, and the model that it made."""
        return sum(count for (stage, _), count in count_records(self.ledger, self.run).items() if stage == "teach"), model_uri(
            self.ledger, self.run, "teach"
        )

    def close(self) -> None:
        """Stops the worker."""
        self._runtime.stop()
        self._runtime.close()
        self.ledger.close()
