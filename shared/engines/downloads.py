"""Checkpoints that were downloaded stay in the cache for the next time, as long as there is room: a machine that works for a week
serves and trains on more of them than its disk holds.
"""

import fcntl
import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import IO

import structlog
from filelock import FileLock, Timeout

from shared.settings import settings

log = structlog.get_logger()

KEEP_FREE = 0.2
"""Share of the disk that a download leaves free: more than the 0.1 and 0.15 at which Kubernetes evicts a node's pods
(https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/)."""
FRESH_SECONDS = 3600.0
"""What was asked for so recently stays: whoever asked may not have begun to read it."""


def place_of(url: str) -> Path:
    """The folder in the cache that a checkpoint's URL has, whether it is there or not."""
    return _cache() / hashlib.sha256(url.encode()).hexdigest()[:32]


def note_use(folder: Path, url: str) -> None:
    """Notes that a download was asked for just now. Call it under the folder's lock."""
    _use(folder).write_text(f"{url}\n")


def held(folder: Path) -> IO[bytes]:
    """Keeps a folder from being deleted here until the file that is returned is closed, or this process ends, however it does.
    Folders that are no downloads are nobody's to delete: holding them is no matter.
    """
    if folder.parent != _cache():
        return open(os.devnull, "rb")
    file = _use(folder).open("ab")
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def make_room(needed: int) -> None:
    """Deletes downloads, those that were not asked for for longest first, until so many bytes fit and KEEP_FREE of the disk stays.
    What is held or fresh stays, whether they fit or not.
    """
    cache = _cache()
    folders = [path for path in cache.iterdir() if path.is_dir() and not path.name.startswith(".")]
    for folder in sorted(folders, key=_last_use):
        disk = shutil.disk_usage(cache)
        if disk.free - needed >= KEEP_FREE * disk.total:
            return
        _delete(folder)


def lock_of(folder: Path) -> FileLock:
    """Whoever makes, looks for or deletes a download holds this lock."""
    return FileLock(folder.with_suffix(".lock"))


def _cache() -> Path:
    return settings().cache_dir.expanduser() / "downloads"


def _use(folder: Path) -> Path:
    return folder.with_suffix(".use")


def _last_use(folder: Path) -> float:
    use = _use(folder)
    return (use if use.exists() else folder).stat().st_mtime


def _delete(folder: Path) -> None:
    """Unless it is held or fresh, or another is at it just now."""
    try:
        with lock_of(folder).acquire(blocking=False), _use(folder).open("a+b") as use:
            if time.time() - _last_use(folder) < FRESH_SECONDS:
                return
            fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            url = _use(folder).read_text().strip()
            going = folder.with_name(f".going-{folder.name}")
            folder.rename(going)  # half of one would count as whole
            shutil.rmtree(going)
            _use(folder).unlink()
    except (Timeout, BlockingIOError):
        return
    log.info("download deleted", url=url, since="the disk has less free than it should")
