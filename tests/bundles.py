"""Bundles for tests: a folder in one file, with checksums, as `make bundle` packs it."""

from __future__ import annotations

import tarfile
from pathlib import Path

from appliance import files


def pack(content: Path, bundle: Path) -> Path:
    """Pack the content of a folder into a bundle; returns it."""
    paths = sorted(path for path in content.rglob("*") if path.is_file() and path.name != "SHA256SUMS")
    (content / "SHA256SUMS").write_text(
        "".join(f"{files.sha256(path)}  {path.relative_to(content)}\n" for path in paths)
    )
    with tarfile.open(bundle, "w") as archive:
        for member in sorted(content.iterdir()):
            archive.add(member, member.name)
    return bundle
