"""A device's disk as a file that can lose its power: what was not synced by then is lost, as on a real disk.

ext4 ends at once by its own ioctl, made for such tests: nothing more is written, not even its journal. The next mount
replays what the journal had on the disk.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BYTES = 8_000_000_000
_SHUTDOWN = 0x8004587D
_WITHOUT_LOG = 2
_PATIENCE_S = 60.0


class MemoryCard:
    """An ext4 file system in a file; `root` is where it is mounted."""

    def __init__(self, folder: Path) -> None:
        self._image, self.root = folder / "card.img", folder / "card"
        self.root.mkdir()
        with self._image.open("wb") as file:
            file.truncate(_BYTES)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", self._image], check=True)
        self.mount()

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", self._image, self.root], check=True)

    def cut(self) -> None:
        """Cut the power: no write reaches the disk any more."""
        folder = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _SHUTDOWN, struct.pack("I", _WITHOUT_LOG))
        finally:
            os.close(folder)

    def plug_in(self) -> None:
        """Mount the disk again after a cut.

        It is a copy: whoever has made a mount namespace meanwhile still holds the file system that has ended.
        """
        self.unmount()
        copy = self._image.with_suffix(".copy")
        subprocess.run(["cp", "--sparse=always", self._image, copy], check=True)
        copy.replace(self._image)
        self.mount()

    def unmount(self) -> None:
        deadline_s = time.monotonic() + _PATIENCE_S
        while subprocess.run(["umount", self.root], capture_output=True).returncode:
            assert time.monotonic() < deadline_s, f"{self.root} is still in use"
            time.sleep(0.1)


@contextmanager
def memory_card(folder: Path) -> Iterator[MemoryCard]:
    """An empty card until the block ends."""
    card = MemoryCard(folder)
    try:
        yield card
    finally:
        card.unmount()


def why_not() -> str | None:
    """Why there can be no card here; None: there can."""
    missing = [name for name in ("mke2fs", "losetup") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} missing: apt install e2fsprogs mount"
    return None if Path("/dev/loop-control").exists() else "no loop devices"
