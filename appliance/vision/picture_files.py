"""Which files of a folder are pictures, by their names."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def is_named_as_picture(path: Path) -> bool:
    """Whether the suffix of the name is that of a picture, in either case."""
    return path.suffix.lower() in SUFFIXES


def find(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of their names; none if it is not a folder."""
    return sorted(filter(is_named_as_picture, folder.glob("*"))) if folder.is_dir() else []
