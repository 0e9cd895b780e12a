"""Which checkpoint a new attempt goes on from."""

import shutil
import uuid
from pathlib import Path

import pytest

from services.trainer.checkpoints import (
    COMPLETE,
    METRICS,
    Place,
    clear,
    discard,
    fetch,
    mark_complete,
    mirror_checkpoint,
    newest,
    place_of,
)
from shared.artifacts import delete_folder, download_folder, list_files
from shared.settings import Settings


def checkpoint(folder: Path, step: int, complete: bool = True) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "weights").write_text(f"weights of step {step}")
    if complete:
        mark_complete(path)
    return path


def test_a_checkpoint_cut_short_is_not_taken_and_what_is_not_needed_is_deleted(tmp_path):
    assert newest(tmp_path) is None
    older, last = checkpoint(tmp_path, 80), checkpoint(tmp_path, 100)
    torn = checkpoint(tmp_path, 120, complete=False)
    assert newest(tmp_path) == last and torn.exists(), "who looks deletes nothing: another may be writing it"
    clear(tmp_path, keep=last)
    assert [path.exists() for path in (older, last, torn)] == [False, True, False]


def test_a_kill_while_an_older_one_is_deleted_leaves_no_torn_checkpoint(tmp_path, monkeypatch):
    older, last = checkpoint(tmp_path, 9), checkpoint(tmp_path, 10)

    def killed(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        clear(tmp_path, keep=last)
    assert (older / "weights").exists() and newest(tmp_path) == last
    shutil.move(last, tmp_path / "elsewhere")
    assert newest(tmp_path) is None, "files may be gone of it, so it counts no more"


@pytest.fixture
def mirror():
    url = f"memory://{uuid.uuid4().hex}"
    yield url
    delete_folder(url)


def test_another_machine_goes_on_from_the_mirror(tmp_path, mirror):
    first = Place(tmp_path / "first", mirror)
    fetch(first)
    for step in (20, 40):
        mirror_checkpoint(checkpoint(first.folder, step, complete=False), mirror)
    assert {path.split("/")[0] for path, _ in list_files(mirror)} == {"checkpoint-40"}, "older copies are deleted"
    second = Place(tmp_path / "second", mirror)
    checkpoint(second.folder, 20)
    fetch(second)
    found = newest(second.folder)
    assert found and (found.name, (found / "weights").read_text()) == ("checkpoint-40", "weights of step 40")


def test_a_copy_cut_short_is_not_taken(tmp_path, mirror):
    first = Place(tmp_path / "first", mirror)
    mirror_checkpoint(checkpoint(first.folder, 20, complete=False), mirror)
    mirror_checkpoint(checkpoint(first.folder, 40, complete=False), mirror)
    delete_folder(f"{mirror}/checkpoint-40/{COMPLETE}")
    second = Place(tmp_path / "second", mirror)
    fetch(second)
    assert newest(second.folder) is None


@pytest.mark.parametrize("whole", [0, 1])
def test_a_download_that_breaks_off_is_done_again(tmp_path, mirror, monkeypatch, whole):
    """In the first folder (of metrics), and in the second."""
    first, second = (Place(tmp_path / name, mirror) for name in ("first", "second"))
    (first.folder / METRICS).mkdir(parents=True)
    (first.folder / METRICS / "events").write_text("of the first attempt")
    mirror_checkpoint(checkpoint(first.folder, 20, complete=False), mirror)

    downloaded = []

    def breaks(url, target):
        if len(downloaded) < whole:
            downloaded.append(url)
            return download_folder(url, target)
        target.mkdir()
        mark_complete(target)  # which is small, and comes early
        raise OSError("the network is gone")

    with monkeypatch.context() as broken:
        broken.setattr("services.trainer.checkpoints.download_folder", breaks)
        with pytest.raises(OSError, match="the network is gone"):
            fetch(second)
    assert newest(second.folder) is None
    fetch(second)
    found = newest(second.folder)
    assert found and (found / "weights").read_text() == "weights of step 20"
    assert (second.folder / METRICS / "events").read_text() == "of the first attempt"


def test_local_artifacts_need_no_mirror_and_a_finished_training_leaves_nothing(tmp_path, monkeypatch):
    settings = Settings(artifacts_url=f"file://{tmp_path}/artifacts", cache_dir=tmp_path / "cache")
    monkeypatch.setattr("shared.artifacts.settings", lambda: settings)
    place = place_of("run", "teach", "abc")
    assert place == Place(tmp_path / "artifacts/runs/run/teach/checkpoints-abc", None)
    checkpoint(place.folder, 20)
    discard(place)
    discard(place)
    assert not place.folder.exists()
