"""What trainings that are over left in a machine's cache."""

from pathlib import Path

import pytest
from sqlalchemy import update

from services.trainer.leftovers import scratch_prefix, sweep
from shared.ledger.database import Ledger
from shared.ledger.items import NewItem, item_name
from shared.ledger.opening import open_stage
from shared.ledger.runs import NewStage, close_stage, create_run, move_run
from shared.ledger.tables import ItemState, RunState, StageState, items


@pytest.mark.parametrize(
    ("state", "goes"),
    [
        (ItemState.DONE, True), (ItemState.CANCELLED, True),
        (ItemState.QUEUED, False), (ItemState.RUNNING, False), (ItemState.DEAD, False), (None, False),
    ],
)  # fmt: skip
def test_only_what_belongs_to_a_training_that_is_over_goes(
    tmp_path: Path, ledger: Ledger, state: ItemState | None, goes: bool
) -> None:
    run = create_run(ledger, "r", {"name": "r"}, [NewStage("teach", "train", ())])[0]
    close_stage(ledger, run, "preflight", StageState.DONE)
    move_run(ledger, run, RunState.CHECKING, RunState.RUNNING)
    open_stage(ledger, run, "teach", [NewItem("train", "trainer", {})])
    run = run if state else "another-house"
    name = item_name(run, "teach", "train")
    with ledger.write() as connection:
        connection.execute(update(items).where(items.c.id == name).values(state=state))
    cache = tmp_path / "training"
    left = [cache / f"{scratch_prefix(name)}x1", cache / run / "teach"]
    for folder in left:
        (folder / "checkpoint-20").mkdir(parents=True)
    sweep(ledger, cache)
    assert [folder.exists() for folder in left] == [not goes, not goes]
