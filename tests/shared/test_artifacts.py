"""Files that are wholly there or not at all."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.artifacts import (
    DiskFull,
    all_or_nothing,
    bytes_free,
    list_files,
    read_bytes,
    tells_of_no_room,
    upload_folder,
    write_bytes,
)
from tests.disks import SmallDisk


def test_a_half_goes_and_what_is_whole_stays(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/made/1"

    def breaks() -> None:
        with all_or_nothing(url):
            write_bytes(f"{url}/first", b"1")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        breaks()
    assert not (tmp_path / "made/1").exists()
    with all_or_nothing(url):
        write_bytes(f"{url}/first", b"1")
    assert read_bytes(f"{url}/first") == b"1"


def test_an_error_that_tells_of_a_full_disk_is_found_behind_others() -> None:
    def raised() -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise ValueError("the archive is broken") from None

    with pytest.raises(ValueError, match="archive") as caught:
        raised()
    assert tells_of_no_room(caught.value)
    assert tells_of_no_room(RuntimeError("I/O error: No space left on device (os error 28)"))
    assert not tells_of_no_room(OSError(errno.EACCES, "Permission denied")) and not tells_of_no_room(None)


@pytest.mark.parametrize("left", [0, 8 * 1024])
def test_a_full_disk_is_named(left: int, tmp_path: Path, small_disk: Callable[[Path], SmallDisk]) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in "abc":
        (source / name).write_bytes(bytes(5000))
    disk = small_disk(tmp_path / "disk")
    disk.fill(left)
    url = f"file://{disk.folder}/made/1"
    for write in (lambda: upload_folder(source, url), lambda: write_bytes(f"{url}/one", bytes(20_000))):
        with (
            pytest.raises(DiskFull, match=rf"no room on the disk of {disk.folder}/made/1 \(0 MiB are free\): make room"),
            all_or_nothing(url, tmp_path),
        ):
            write()
        assert disk.files() == [] and bytes_free(disk.folder) == left
    disk.make_room()
    with all_or_nothing(url):
        upload_folder(source, url)
    assert [name for name, _ in list_files(url)] == ["a", "b", "c"]
