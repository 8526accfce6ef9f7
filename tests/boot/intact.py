"""What a power cut may leave on a disk, and what it may not: judged by the content of the files, not by their names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from appliance.health.history import ROW, SLOTS, seal
from appliance.health.history_file import HEADER

Files = Mapping[str, bytes]
"""Contents by path, below a folder."""


@dataclass(frozen=True, slots=True)
class State:
    """What the service's own folder holds."""

    rows: int
    """Rows of history that can be read."""
    torn: int
    """Rows that fail their checksum: gaps."""
    set_aside: tuple[str, ...]


def state(files: Files) -> State:
    """Asserts that every file of the state folder is whole, or was set aside."""
    set_aside = tuple(sorted(name for name in files if ".corrupt-" in name))
    for name in files:
        assert name in ("lock", "history", *set_aside) or _unnamed(name), f"{name} is no file of the service"
    if "history" not in files:
        return State(0, 0, set_aside)
    data = files["history"]
    assert len(data) == len(HEADER) + SLOTS * ROW.itemsize, f"history has {len(data)} bytes"
    assert data.startswith(HEADER), "history does not begin as a history does"
    rows = np.frombuffer(data, ROW, offset=len(HEADER))
    torn = sum(seal(row) != row["crc"] for row in rows)
    return State(int(np.count_nonzero(rows["step"])) - torn, torn, set_aside)


def active_model(digests: Mapping[str, str], texts: Files) -> str | None:
    """Asserts that every bundle in the folder of models is as its manifest says, and that the file which names the one
    in use is whole and names one of them. That name; None where no choice was ever written.

    `digests`: sha256 of each file; `texts`: the contents of those in JSON.
    """
    bundles = {path.parts[0] for name in digests if len((path := PurePosixPath(name)).parts) > 1}
    for bundle in (name for name in bundles if not _unnamed(name)):
        manifest = texts.get(f"{bundle}/manifest.json")
        assert manifest, f"{bundle} has no manifest, or an empty one"
        listed = json.loads(manifest)["files"]
        found = {name: digests.get(f"{bundle}/{name}") for name in listed}
        assert found == listed, f"{bundle} is damaged: its files are {found}, its manifest lists {listed}"
    if "active.json" not in texts:
        return None
    active = json.loads(texts["active.json"])
    assert set(active) == {"name", "configured", "former"}, active
    assert active["name"] in bundles, f"{active['name']} is in use, and there are {bundles}"
    return str(active["name"])


def unnamed(paths: Iterable[str]) -> list[str]:
    """What was begun under another name, and never got its own: of no use and of no harm."""
    return sorted({PurePosixPath(path).parts[0] for path in paths if _unnamed(path)})


def _unnamed(path: str) -> bool:
    return PurePosixPath(path).parts[0].startswith(".")
