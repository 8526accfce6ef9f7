"""Check the files on a disk after a power cut, by their content."""

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
    """The content of the service's state folder."""

    rows: int
    """Valid rows of the history."""
    torn: int
    """Rows with a wrong checksum, which become gaps."""
    set_aside: tuple[str, ...]


def state(files: Files) -> State:
    """Assert that each file of the state folder is complete or was set aside."""
    set_aside = tuple(sorted(name for name in files if ".corrupt-" in name))
    for name in files:
        assert name in ("lock", "history", *set_aside) or _is_temporary(name), f"{name} is not a file of the service"
    if "history" not in files:
        return State(0, 0, set_aside)
    data = files["history"]
    assert len(data) == len(HEADER) + SLOTS * ROW.itemsize, f"history has {len(data)} bytes"
    assert data.startswith(HEADER), "the history has a wrong header"
    rows = np.frombuffer(data, ROW, offset=len(HEADER))
    torn = sum(seal(row) != row["crc"] for row in rows)
    return State(int(np.count_nonzero(rows["step"])) - torn, torn, set_aside)


def active_model(digests: Mapping[str, str], texts: Files) -> str | None:
    """Assert that each bundle in the models folder matches its manifest, and that active.json is complete and names one
    of them. Return that name; None: no model was ever activated.

    `digests`: SHA-256 of each file; `texts`: the content of the JSON files.
    """
    bundles = {path.parts[0] for name in digests if len((path := PurePosixPath(name)).parts) > 1}
    for bundle in (name for name in bundles if not _is_temporary(name)):
        manifest = texts.get(f"{bundle}/manifest.json")
        assert manifest, f"{bundle} has no manifest, or an empty one"
        listed = json.loads(manifest)["files"]
        found = {name: digests.get(f"{bundle}/{name}") for name in listed}
        assert found == listed, f"{bundle} is damaged: its files are {found}, its manifest lists {listed}"
    if "active.json" not in texts:
        return None
    active = json.loads(texts["active.json"])
    assert set(active) == {"name", "configured", "former"}, active
    assert active["name"] in bundles, f"{active['name']} is active, but the bundles are {bundles}"
    return str(active["name"])


def temporary(paths: Iterable[str]) -> list[str]:
    """Temporary files and folders that were never renamed. They are harmless."""
    return sorted({PurePosixPath(path).parts[0] for path in paths if _is_temporary(path)})


def _is_temporary(path: str) -> bool:
    return PurePosixPath(path).parts[0].startswith(".")
