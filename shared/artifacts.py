"""Files (checkpoints, exports, plots) on any fsspec URL.

Files are fenced as results are: an item writes under `runs/<run>/<stage>/<item>/<fence>/`, and what its commit names counts.
"""

from collections.abc import Iterator
from pathlib import Path

import fsspec
from fsspec.core import url_to_fs

from shared.settings import settings


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
