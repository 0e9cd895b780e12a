"""Files (checkpoints, exports, plots) on any fsspec URL.

Files are fenced as results are: an item writes under `runs/<run>/<stage>/<item>/<fence>/`, and what its commit names counts.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
from fsspec.core import url_to_fs

from shared.settings import settings

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
IN_WORDS = ("No space left on device", "os error 28", "Disk quota exceeded")
"""How libraries that keep no errno tell of it."""


class DiskFull(Exception):
    """Something could not be written for want of room; names the disk and what to do."""


def item_folder(run_id: str, stage: str, key: str, fence: int) -> str:
    """URL of the folder that this attempt at an item may write to."""
    return f"{run_folder(run_id)}/{stage}/{key}/{fence}"


def run_folder(run_id: str) -> str:
    """URL of the folder that holds all files of a run."""
    return f"{settings().artifacts_url.rstrip('/')}/runs/{run_id}"


def local_path(url: str) -> Path | None:
    """The path of a file:// URL (or of a plain path); None for what lies elsewhere."""
    if url.startswith("file://"):
        return Path(url.removeprefix("file://"))
    return None if "://" in url else Path(url)


def upload_folder(source: Path, url: str) -> str:
    """Copies a local folder's files to `url` and returns `url`."""
    fs, root = url_to_fs(url)
    fs.makedirs(root, exist_ok=True)
    fs.put(f"{source}/", f"{root}/", recursive=True)
    return url


def download_folder(url: str, target: Path) -> Path:
    """A folder of `url` on the local disk: itself if it lies there already, else copied to `target`."""
    if path := local_path(url):
        return path
    fs, root = url_to_fs(url)
    target.mkdir(parents=True, exist_ok=True)
    fs.get(f"{root}/", f"{target}/", recursive=True)
    return target


def folder_size(url: str) -> int:
    """Bytes of all files below `url`. Raises FileNotFoundError where there is nothing."""
    fs, root = url_to_fs(url)
    if not (files := fs.find(root, detail=True)):
        raise FileNotFoundError(f"there is nothing at {url}")
    return sum(file["size"] or 0 for file in files.values())  # a file system that is a web server may not tell


def write_bytes(url: str, content: bytes) -> str:
    """Writes one file, folders included; returns its URL."""
    with fsspec.open(url, "wb", auto_mkdir=True) as file:
        file.write(content)
    return url


def read_bytes(url: str) -> bytes:
    """One file's content. Raises FileNotFoundError."""
    with fsspec.open(url, "rb") as file:
        content: bytes = file.read()
    return content


def list_files(url: str) -> Iterator[tuple[str, str]]:
    """(path relative to `url`, URL) of every file below `url`, sorted."""
    fs, root = url_to_fs(url)
    for path in sorted(fs.find(root)):
        yield str(path)[len(root) :].lstrip("/"), fs.unstrip_protocol(path)


def delete_folder(url: str) -> None:
    """Deletes a folder and what is in it; a missing one is no matter."""
    fs, root = url_to_fs(url)
    if fs.exists(root):
        fs.rm(root, recursive=True)


@contextmanager
def all_or_nothing(url: str, *others: Path) -> Iterator[None]:
    """Whoever writes under `url` does it in such a block: if it fails, the half that is there goes, for it would only take room
    (of local files; a half elsewhere stays, and nothing names it).

    `others`: folders in which it writes besides. Raises DiskFull where any of the disks has no room.
    """
    path = local_path(url)
    try:
        yield
    except Exception as error:
        said = no_room(*others, *([path] if path else []))  # before room is made
        if path and path.exists():
            shutil.rmtree(path)
        if tells_of_no_room(error):
            raise DiskFull(said) from error
        raise


def tells_of_no_room(error: BaseException | None) -> bool:
    """Whether an error, or one that it came of, says that a disk or a quota is full."""
    while error is not None:
        if (isinstance(error, OSError) and error.errno in NO_ROOM) or any(words in str(error) for words in IN_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def no_room(*folders: Path) -> str:
    """What to say where there is no room: names that of the folders whose disk has the least (they need not exist)."""
    free, folder = min((bytes_free(folder), folder) for folder in folders)
    return f"no room on the disk of {folder} ({free / 2**20:,.0f} MiB are free): make room there, then try again"


def bytes_free(folder: Path) -> int:
    """On the disk that a folder lies on, or would."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free
