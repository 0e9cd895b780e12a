"""Checkpoints of an unfinished training: where they lie, which of them are complete, and their copies in the artifact store.

They lie in a folder that all attempts at the item share. Where artifacts are files of this machine, that folder is among them; else
it is in the cache, and each checkpoint is copied to the artifact store too, for an attempt on another machine.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from shared.artifacts import (
    bytes_free,
    delete_folder,
    download_folder,
    list_files,
    local_path,
    no_room,
    run_folder,
    tells_of_no_room,
    upload_folder,
    write_bytes,
)
from shared.settings import settings

COMPLETE = "complete"
"""The file that is written last into a checkpoint: one without it was cut short."""
METRICS = "tensorboard"
"""The folder of metrics beside the checkpoints, which all attempts write into."""
FULL = 16 << 20
"""Bytes free on a disk, below which whatever failed may have failed for want of room."""


@dataclass(frozen=True)
class Place:
    """Where a training's checkpoints lie."""

    folder: Path
    mirror: str | None


def place_of(run_id: str, stage: str, fingerprint: str) -> Place:
    """The folder that every attempt at this training uses. Its name holds the training's fingerprint, so no other's is resumed."""
    url = f"{run_folder(run_id)}/{stage}/checkpoints-{fingerprint}"
    if path := local_path(url):
        return Place(path, None)
    return Place(settings().cache_dir.expanduser() / "training" / run_id / stage / fingerprint, url)


def _step(name: str) -> int:
    return int(name.removeprefix("checkpoint-"))


def mark_complete(folder: Path) -> None:
    """Declares that everything of a checkpoint is written."""
    (folder / COMPLETE).touch()


def newest(folder: Path) -> Path | None:
    """The last complete checkpoint, or None."""
    found = (path for path in folder.glob("checkpoint-*") if (path / COMPLETE).exists())
    return max(found, key=lambda path: _step(path.name), default=None)


def clear(folder: Path, keep: Path | None) -> None:
    """Deletes all checkpoints but one: older ones, and those that a kill cut short. Nobody else may be saving there.

    The marker goes first: what a kill leaves of a folder that is being deleted is no checkpoint.
    """
    for path in folder.glob("checkpoint-*"):
        if path != keep:
            (path / COMPLETE).unlink(missing_ok=True)
            shutil.rmtree(path)


def mirror_checkpoint(folder: Path, mirror: str) -> None:
    """Copies a checkpoint to the artifact store, its marker last, then deletes the older copies; and the metrics beside it."""
    upload_folder(folder, f"{mirror}/{folder.name}")
    write_bytes(f"{mirror}/{folder.name}/{COMPLETE}", b"")
    if (folder.parent / METRICS).exists():
        upload_folder(folder.parent / METRICS, f"{mirror}/{METRICS}")
    for name in _mirrored(mirror):
        if _step(name) < _step(folder.name):
            delete_folder(f"{mirror}/{name}")


def _mirrored(mirror: str) -> list[str]:
    """Names of the complete checkpoints in the artifact store, oldest first."""
    files = (path.split("/") for path, _ in list_files(mirror))
    return sorted((parts[0] for parts in files if len(parts) == 2 and parts[1] == COMPLETE), key=_step)


def fetch(place: Place) -> None:
    """Makes sure that the newest complete checkpoint lies in the local folder: another machine may have come further."""
    place.folder.mkdir(parents=True, exist_ok=True)
    mirrored = _mirrored(place.mirror) if place.mirror else []
    here = newest(place.folder)
    if mirrored and (here is None or _step(mirrored[-1]) > _step(here.name)):
        if any(path.startswith(f"{METRICS}/") for path, _ in list_files(str(place.mirror))):
            _download(f"{place.mirror}/{METRICS}", place.folder / METRICS)
        _download(f"{place.mirror}/{mirrored[-1]}", place.folder / mirrored[-1])  # last: once it is here, nothing more is fetched


def _download(url: str, target: Path) -> None:
    """A folder as a whole or not at all: its marker may come before its weights, so it has its name once all of it is there."""
    unfinished = target.with_name("fetching")
    shutil.rmtree(unfinished, ignore_errors=True)
    download_folder(url, unfinished)
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)


def discard(place: Place) -> None:
    """Deletes all checkpoints of a training that is done."""
    shutil.rmtree(place.folder, ignore_errors=True)  # may be gone: two attempts can end at once
    if place.mirror:
        delete_folder(place.mirror)


def full_disk(error: BaseException | None, *folders: Path) -> str | None:
    """What to say if a training failed for want of room in one of its folders, None if it did not.

    Libraries tell of it in many ways, or in none, so a disk of which next to nothing is free counts, too, beside what was told.
    """
    if tells_of_no_room(error):
        return no_room(*folders)
    if all(bytes_free(folder) >= FULL for folder in folders):
        return None
    return f"{no_room(*folders)} (what was told: {type(error).__name__}: {error})" if error else no_room(*folders)
