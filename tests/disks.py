"""A disk so small that it can be filled: a tmpfs over a folder, where the machine lets one be mounted."""

import os
import subprocess
from pathlib import Path

import pytest

MIB = 32


class SmallDisk:
    """A file system of MIB over a folder. Skips the test where none may be mounted."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={MIB}m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, leave: int = 0) -> None:
        """Takes all but so many bytes."""
        disk = os.statvfs(self.folder)
        self._ballast.write_bytes(bytes(disk.f_bavail * disk.f_frsize - leave))

    def make_room(self) -> None:
        """What took the room goes."""
        self._ballast.unlink()

    def files(self) -> list[str]:
        """What else is there."""
        found = (path for path in self.folder.rglob("*") if path.is_file() and path != self._ballast)
        return sorted(str(path.relative_to(self.folder)) for path in found)

    def unmount(self) -> None:
        """At once, whoever still uses it."""
        subprocess.run(["umount", "-l", str(self.folder)], check=True)
