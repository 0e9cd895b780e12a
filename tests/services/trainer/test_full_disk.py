"""A disk that fills under a training: one message on the item, nothing registered, and once there is room it goes on."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from services.trainer.checkpoints import full_disk
from shared.settings import settings
from tests.disks import SmallDisk
from tests.services.trainer.bench import Bench

slow = pytest.mark.timeout(600)  # processes that import torch: a minute when idle, several on a loaded machine
TEXTS = [f"The answer is {n}." for n in range(16)]
KIB = 1024
PLACES: dict[str, tuple[Callable[[Bench], Path], int]] = {
    "checkpoints": (lambda bench: bench.folder, 64 * KIB),
    "output": (lambda bench: settings().cache_dir / "training", 40 * KIB),
    "rows": (lambda bench: settings().cache_dir / "training", 0),
    "artifacts": (lambda bench: bench.folder / "train", 8 * KIB),
}
"""What is to be written -> the folder whose disk is full, and the bytes that are left there."""


@slow
@pytest.mark.parametrize("place", PLACES)
async def test_a_full_disk_is_named_and_the_next_attempt_succeeds(
    place: str, bench: Callable[..., Bench], small_disk: Callable[[Path], SmallDisk], tiny_model: Path
) -> None:
    made = bench(tiny_model, TEXTS, save_steps=1)
    folder, left = PLACES[place]
    disk = small_disk(folder(made))
    disk.fill(left)
    item = await made.attempt()
    assert (item.state, item.attempts) == ("queued", 1)
    assert f": no room on the disk of {disk.folder}" in item.error and "make room there, then try again" in item.error
    assert len(item.error) < 400, "one message, and no log"
    assert made.registered() == (0, None)
    assert [name for name in disk.files() if not name.startswith("checkpoints-")] == [], (
        "no half is left to take what room there is"
    )
    disk.make_room()
    item = await made.attempt()
    assert (item.state, item.error) == ("done", None)
    records, model = made.registered()
    assert (records, model) == (1, f"file://{made.folder}/train/2/model")
    assert (made.folder / "train/2/model/model.safetensors").exists()
    assert not list(made.folder.glob("checkpoints-*/*"))
    assert not list((settings().cache_dir / "training").glob("scratch.*"))


def test_what_came_of_a_full_disk_is_told_from_what_did_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = {tmp_path / "a": 5 << 30, tmp_path / "b": 7 << 30}
    monkeypatch.setattr("services.trainer.checkpoints.bytes_free", free.__getitem__)
    monkeypatch.setattr("shared.artifacts.bytes_free", free.__getitem__)
    assert full_disk(ValueError("no such layer"), *free) is None and full_disk(None, *free) is None
    wrapped = RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    for error in (wrapped, OSError(errno.ENOSPC, "full"), OSError(errno.EDQUOT, "quota")):
        assert str(full_disk(error, *free)).startswith(f"no room on the disk of {tmp_path / 'a'} (5,120 MiB are free): make room")
    free[tmp_path / "b"] = 1 << 20
    said = str(full_disk(ValueError("iostream error"), *free))
    assert f"disk of {tmp_path / 'b'} (1 MiB are free)" in said and said.endswith("(what was told: ValueError: iostream error)")
    assert full_disk(None, *free) == f"no room on the disk of {tmp_path / 'b'} (1 MiB are free): make room there, then try again"
