"""What trainings left in this machine's cache: scratch of attempts that were killed, checkpoints that another machine went on from.

A machine that is overtaken does not hear how the training ended, so each training that begins looks at the others' folders first.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import structlog
from sqlalchemy import select

from shared.ledger.database import Ledger
from shared.ledger.tables import ItemState, items

log = structlog.get_logger()

SCRATCH = "scratch."
OVER = (ItemState.DONE, ItemState.CANCELLED)
"""Nothing is gone on with from here. A dead item is: it may be tried again."""


def scratch_prefix(item_id: str) -> str:
    """How the names of an item's scratch folders begin. No part of an item's name holds a dot."""
    return f"{SCRATCH}{item_id.replace('/', '.')}."


def sweep(ledger: Ledger, cache: Path) -> None:
    """Deletes in `cache` (the machine's folder of trainings) what belongs to trainings that are over.

    Trainings that this ledger does not know stay: they may be another house's.
    """
    for run, stage, folder in [*_scratch(cache), *_checkpoints(cache)]:
        if _over(ledger, run, stage):
            log.info("left by a training that is over: deleted", folder=str(folder))
            shutil.rmtree(folder, ignore_errors=True)  # its owner may be deleting it, too


def _scratch(cache: Path) -> Iterator[tuple[str, str, Path]]:
    for folder in cache.glob(f"{SCRATCH}*.*.*.*"):
        run, stage, *_ = folder.name.removeprefix(SCRATCH).split(".")
        yield run, stage, folder


def _checkpoints(cache: Path) -> Iterator[tuple[str, str, Path]]:
    """`RUN/STAGE/` (`checkpoints.place_of`)."""
    for folder in cache.glob("*/*"):
        if folder.is_dir() and not folder.parent.name.startswith(SCRATCH):
            yield folder.parent.name, folder.name, folder


def _over(ledger: Ledger, run: str, stage: str) -> bool:
    """Whether all items of the stage are over; not so where there are none."""
    with ledger.read() as connection:
        states = connection.execute(select(items.c.state).where(items.c.run_id == run, items.c.stage == stage)).scalars().all()
    return bool(states) and all(state in OVER for state in states)
