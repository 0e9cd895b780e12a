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
from shared.engines.errors import ModelMissing
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
    note_use(folder)
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
    assert all(folder.with_suffix(".use").exists() for folder in folders.values()), "others may wait for a lock on it"


def test_what_is_fresh_held_or_being_fetched_stays(cache: Path) -> None:
    fresh, serving, fetched, idle = (download(name, hours_ago=hours) for name, hours in zip("abcd", (0.9, 50, 60, 2), strict=True))
    beginning = cache / ".unfinished-x"
    beginning.mkdir()
    with held(serving), held(serving), lock_of(fetched):
        make_room(5000)
        assert [folder.exists() for folder in (fresh, serving, fetched, idle, beginning)] == [True, True, True, False, True]
    os.utime(serving.with_suffix(".use"), (1, 1))
    make_room(5000)
    assert [folder.exists() for folder in (fresh, serving, fetched, beginning)] == [True, False, False, True]


def test_a_process_that_is_killed_holds_nothing_any_more(tmp_path: Path) -> None:
    folder = download("a", hours_ago=5)
    code = "\n".join(
        [
            "import pathlib, sys",
            "from shared.engines.downloads import held",
            "one = held(pathlib.Path(sys.argv[1]))",
            "print(flush=True)",
            "input()",
        ]
    )
    environment = {**os.environ, "LONGTHOUGHT_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as other:
        assert other.stdout and other.stdout.readline()
        make_room(5000)
        assert folder.exists()
        other.kill()
    make_room(5000)
    assert not folder.exists()


def test_it_was_in_use_until_it_is_let_go() -> None:
    folder = download("a", hours_ago=5)
    with held(folder):
        os.utime(folder.with_suffix(".use"), (1, 1))
    make_room(5000)
    assert folder.exists(), "fresh"


def test_what_is_deleted_cannot_be_held() -> None:
    folder = download("a", hours_ago=5)
    make_room(5000)
    with pytest.raises(ModelMissing, match="was deleted to make room"):
        held(folder)


def test_a_download_of_before_uses_were_noted_goes_by_its_own_time() -> None:
    old, new = download("old", hours_ago=0), download("new", hours_ago=0)
    for folder in (old, new):
        folder.with_suffix(".use").unlink()
    os.utime(old, (1, 1))
    make_room(5000)
    assert (old.exists(), new.exists()) == (False, True)


def test_what_killed_processes_left_goes_and_what_cannot_be_deleted_stops_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other = download("a", hours_ago=50), download("b", hours_ago=5)
    left = [cache / ".going-x", cache / ".unfinished-old", cache / ".unfinished-new"]
    for folder in left:
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "part").write_bytes(b"x")
    for path in (left[1], *left[1].rglob("*")):
        os.utime(path, (1, 1))
    rename = Path.rename

    def not_that(path: Path, target: Path) -> Path:
        if path == stuck:
            raise PermissionError("read-only")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", not_that)
    make_room(5000)
    assert [folder.exists() for folder in (stuck, other, *left)] == [True, False, False, False, True]


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
    kept = download("a", hours_ago=5, size=900)  # with which the disk has less free than it should
    with pytest.raises(ModelMissing, match=r"memory://nowhere.* could not be downloaded: FileNotFoundError"):
        resolve_model("memory://nowhere")
    assert kept.exists()
