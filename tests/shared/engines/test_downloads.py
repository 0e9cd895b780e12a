"""The cache of downloaded checkpoints gives way to the next one, and nobody loses what they use."""

import os
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import fsspec
import pytest

from shared.engines import downloads
from shared.engines.downloads import held, lock_of, make_room, note_use, place_of
from shared.engines.models import resolve_model
from shared.settings import Settings

DISK = 1000
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """On a disk of 1,000 bytes, which holds nothing else."""
    monkeypatch.setattr(downloads, "settings", lambda: Settings(cache_dir=tmp_path / "cache"))
    folder = tmp_path / "cache" / "downloads"
    folder.mkdir(parents=True)

    def usage(_: Path) -> Usage:
        used = sum(path.stat().st_size for path in folder.rglob("*") if path.parent != folder and path.is_file())
        return Usage(DISK, used, DISK - used)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    return folder


def download(name: str, hours_ago: float, size: int = 200) -> Path:
    """A checkpoint that was asked for so long ago."""
    folder = place_of(f"memory://{name}")
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(size))
    note_use(folder, f"memory://{name}")
    then = time.time() - 3600 * hours_ago
    os.utime(folder.with_suffix(".use"), (then, then))
    return folder


@pytest.mark.parametrize(
    ("needed", "left"),
    [
        pytest.param(200, "abc", id="there is room"),
        pytest.param(201, "ab", id="one has to go"),
        pytest.param(400, "ab", id="one is enough"),
        pytest.param(401, "b", id="two, those not asked for for longest"),
        pytest.param(5000, "", id="more than the disk: all that may go"),
    ],
)
def test_those_not_asked_for_for_longest_go_first_and_no_more_than_must(needed: int, left: str) -> None:
    folders = {"b": download("b", hours_ago=2), "c": download("c", hours_ago=90), "a": download("a", hours_ago=30)}
    make_room(needed)
    assert "".join(name for name in "abc" if folders[name].exists()) == left
    for name, folder in folders.items():
        assert folder.with_suffix(".use").exists() == (name in left)


def test_what_is_fresh_held_or_being_fetched_stays(cache: Path) -> None:
    fresh, serving, fetched, idle = (download(name, hours_ago=hours) for name, hours in zip("abcd", (0.9, 50, 60, 2), strict=True))
    beginning = cache / ".unfinished-x"
    beginning.mkdir()
    with held(serving), held(serving), lock_of(fetched):
        make_room(5000)
        assert [folder.exists() for folder in (fresh, serving, fetched, idle, beginning)] == [True, True, True, False, True]
    make_room(5000)
    assert [folder.exists() for folder in (fresh, serving, fetched, beginning)] == [True, False, False, True]


def test_a_process_that_is_killed_holds_nothing_any_more() -> None:
    folder = download("a", hours_ago=5)
    code = "import fcntl, sys; file = open(sys.argv[1], 'ab'); fcntl.flock(file, fcntl.LOCK_SH); print(flush=True); input()"
    command = [sys.executable, "-c", code, str(folder.with_suffix(".use"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdout.readline()
        make_room(5000)
        assert folder.exists()
        other.kill()
    make_room(5000)
    assert not folder.exists()


def test_holding_a_folder_of_somebodys_own_leaves_nothing_in_it(tmp_path: Path) -> None:
    with held(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert not tmp_path.with_suffix(".use").exists()


def test_a_deleted_checkpoint_is_fetched_anew_when_it_is_asked_for_again() -> None:
    memory = fsspec.filesystem("memory")
    for name in ("one", "two"):
        memory.pipe({f"/{name}/config.json": b"{}", f"/{name}/model.safetensors": bytes(500)})
    first = resolve_model("memory://one")
    os.utime(first.with_suffix(".use"), (1, 1))
    second = resolve_model("memory://two")
    assert second.exists() and not first.exists(), "half the disk and half the disk"
    assert resolve_model("memory://one") == first and (first / "model.safetensors").stat().st_size == 500
    assert second.exists(), "fresh"
    os.utime(second.with_suffix(".use"), (1, 1))
    assert resolve_model("memory://two") == second
    assert second.with_suffix(".use").stat().st_mtime > 1, "asking for it makes it fresh"


def test_a_url_where_nothing_is_deletes_nothing() -> None:
    kept = download("a", hours_ago=5)
    with pytest.raises(Exception, match=r"memory://nowhere.* could not be downloaded: FileNotFoundError"):
        resolve_model("memory://nowhere")
    assert kept.exists()
