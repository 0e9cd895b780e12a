"""A disk that fills under an export: nothing of it stays, the message names the disk, and the next attempt succeeds."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from services.compiler.tasks import compile_item
from shared.artifacts import DiskFull
from tests.disks import SmallDisk
from tests.services.compiler.fakes import memory_work, recipe_of
from tests.services.compiler.test_tasks import forest


@pytest.mark.parametrize("left", [0, 16 * 1024])
@pytest.mark.parametrize("place", ["export", "temporary"])
async def test_a_full_disk_ends_in_one_message(
    place: str, left: int, tmp_path: Path, small_disk: Callable[[Path], SmallDisk], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, recipe = forest(), recipe_of()
    work = memory_work(recipe, store, tmp_path / "export/1", keys=sorted(store["search", "tree"]))
    work.take(await compile_item(work))
    disk = small_disk(tmp_path / place)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir(exist_ok=True)
    disk.fill(left)
    with pytest.raises(DiskFull, match=rf"no room on the disk of {disk.folder}.* \(0 MiB are free\): make room there"):
        await compile_item(memory_work(recipe, store, tmp_path / "export/1", close=True))
    assert disk.files() == [] and not list((tmp_path / "export").glob("1/*"))
    disk.make_room()
    [record] = (await compile_item(memory_work(recipe, store, tmp_path / "export/2", close=True))).records
    assert record.body["counts"]["journey"] == 24
    assert (tmp_path / "export/2/journey/train.parquet").exists() and not list((tmp_path / "temporary").glob("longthought-*"))
