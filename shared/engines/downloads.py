"""Checkpoints that were downloaded stay in the cache for the next time, as long as there is room: a machine that works for a week
serves and trains on more of them than its disk holds.
"""

import fcntl
import hashlib
import os
import shutil
import time
import uuid
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

import structlog
from filelock import FileLock, Timeout

from shared.engines.errors import ModelMissing
from shared.settings import settings

log = structlog.get_logger()

KEEP_FREE = 0.2
"""Share of the disk that a download leaves free: more than the 0.1 and 0.15 at which Kubernetes evicts a node's pods
(https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/)."""
FRESH_SECONDS = 3600.0
"""What was asked for so recently stays: whoever asked may not have begun to hold it."""
LEFT_SECONDS = 86_400.0
"""An unfinished download that nothing was written to for so long is what a killed process left."""
UNFINISHED, GOING = ".unfinished-", ".going-"


def place_of(url: str) -> Path:
    """The folder in the cache that a checkpoint's URL has, whether it is there or not."""
    return _cache() / hashlib.sha256(url.encode()).hexdigest()[:32]


def lock_of(folder: Path) -> FileLock:
    """Whoever makes, looks for or deletes a download holds this lock."""
    return FileLock(folder.with_suffix(".lock"))


def note_use(folder: Path) -> None:
    """Notes that a download was asked for just now. Call it under the folder's lock."""
    _use(folder).touch()


class held(AbstractContextManager["held"]):
    """Keeps a download from being deleted here until this is closed, or the process ends, however it does.

    Folders that are no downloads are nobody's to delete: holding them is no matter. Raises ModelMissing if it is deleted already.
    """

    def __init__(self, folder: Path) -> None:
        self._file = None
        if folder.parent != _cache():
            return
        self._file = _use(folder).open("a+b")
        fcntl.flock(self._file, fcntl.LOCK_SH)
        if not folder.is_dir():
            self._file.close()
            raise ModelMissing(f"{folder} was deleted to make room; it is downloaded anew at the next attempt")

    def close(self) -> None:
        """Lets go; it was in use until now."""
        if self._file:
            os.utime(self._file.fileno())
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()


def make_room(needed: int) -> None:
    """Deletes downloads, those out of use for longest first, until so many bytes fit and KEEP_FREE of the disk stays.

    What is held or fresh stays, whether they fit or not; so does what cannot be deleted, with a warning.
    """
    cache = _cache()
    _sweep(cache)
    folders = [path for path in cache.iterdir() if path.is_dir() and not path.name.startswith(".")]
    for folder in sorted(folders, key=_last_use):
        disk = shutil.disk_usage(cache)
        if disk.free - needed >= KEEP_FREE * disk.total:
            return
        try:
            _delete(folder)
        except OSError as error:
            log.warning("download not deleted", folder=str(folder), error=f"{type(error).__name__}: {error}")


def _cache() -> Path:
    return settings().cache_dir.expanduser() / "downloads"


def _use(folder: Path) -> Path:
    """A file that is never deleted, for whoever waits for a lock on it: its time is that of the last use."""
    return folder.with_suffix(".use")


def _last_use(folder: Path) -> float:
    for path in (_use(folder), folder):
        if path.exists():
            return path.stat().st_mtime
    return 0.0


def _delete(folder: Path) -> None:
    """Unless it is held or fresh, or another is at it just now."""
    try:
        with lock_of(folder).acquire(blocking=False):
            if time.time() - _last_use(folder) < FRESH_SECONDS:
                return
            with _use(folder).open("a+b") as use:
                fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
                going = folder.with_name(f"{GOING}{uuid.uuid4().hex}")
                folder.rename(going)  # half of one would count as whole
                shutil.rmtree(going)
    except (Timeout, BlockingIOError):
        return
    log.info("download deleted", folder=str(folder), since="the disk has less free than it should")


def _sweep(cache: Path) -> None:
    """Deletes what killed processes left: half of a deletion, and downloads that nobody goes on with."""
    for left in [*cache.glob(f"{GOING}*"), *cache.glob(f"{UNFINISHED}*")]:
        if left.name.startswith(GOING) or time.time() - _newest(left) > LEFT_SECONDS:
            shutil.rmtree(left, ignore_errors=True)  # another process may be at it, too


def _newest(folder: Path) -> float:
    times = []
    for path in (folder, *folder.rglob("*")):
        try:
            times.append(path.stat().st_mtime)
        except FileNotFoundError:  # a part that got its name just now
            return time.time()
    return max(times)
