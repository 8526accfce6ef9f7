"""Copy an untrusted model into a private folder before anything in it is read.

Rules of this file:
- The source may be hostile and may change during the import, so only the copy is checked.
- Links are rejected, not followed: root runs the import, and everyone can read the result.
- Everything is bounded: bytes, files, and the sizes that an archive's headers claim.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from appliance.errors import ModelError
from appliance.files import open_plain
from appliance.models import metadata
from appliance.models.bundle import MANIFEST
from appliance.workshop import archive, declared
from appliance.workshop.copying import BoundedCopy


def stage(source: Path, target: Path, *, is_declared: bool) -> None:
    """Copy the files of a model into the folder `target`.

    `source`: a folder, a .zip or .tar.* of one, or a network file, whose weights are copied too. `is_declared`: its
    declaration is given elsewhere. Raises ModelError: model_corrupt, model_unsupported; and OSError.
    """
    copying = BoundedCopy(source, target)
    if source.is_dir():
        _stage_folder(source, copying, is_declared=is_declared)
    elif source.suffix in declared.NETWORKS:
        _stage_network(source, copying)
    elif holds_pytorch(source):
        raise pytorch(source)
    else:
        archive.extract(source, copying)
    _check_holds_a_model({path.name for path in target.iterdir()}, source, is_declared=is_declared)


def _stage_folder(source: Path, copying: BoundedCopy, *, is_declared: bool) -> None:
    folder = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    try:
        inside = _visible(folder)
        if len(inside) == 1 and stat.S_ISDIR(
            _mode(folder, inside[0])
        ):  # archives are packed with or without the folder
            inner = os.open(inside[0], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder, source = inner, source / inside[0]
            inside = _visible(folder)
        names = [name for name in inside if not stat.S_ISDIR(_mode(folder, name))]
        _check_holds_a_model(set(names), source, is_declared=is_declared)
        for name in names:
            _check_file(folder, name, source)
            with open_plain(name, dir_fd=folder, links=False) as content:
                copying.put(content, name, os.fstat(content.fileno()).st_size)
    finally:
        os.close(folder)


def _visible(folder: int) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.startswith((".", "__")))


def _mode(folder: int, name: str) -> int:
    return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode


def _check_file(folder: int, name: str, source: Path) -> None:
    mode = _mode(folder, name)
    if stat.S_ISLNK(mode):
        raise ModelError(
            f"{source / name} is a symbolic link. Copy the folder with `cp -rL` and import the copy",
            "model_corrupt",
        )
    if not stat.S_ISREG(mode):
        raise ModelError(f"{source / name} is a pipe or a device, not a regular file", "model_corrupt")


def _stage_network(source: Path, copying: BoundedCopy) -> None:
    """Copy the network file, and the weights with the same name next to it."""
    names = [source.name]
    if source.suffix == ".xml":
        names.append(source.with_suffix(".bin").name)
    names += [source.name + ending for ending in (".data", "_data")]
    for name in names:
        path = source.parent / name
        if path != source and not path.exists():
            continue
        with open_plain(path, links=path == source) as content:  # a link named on the command line is intended
            copying.put(content, name, os.fstat(content.fileno()).st_size)


def _check_holds_a_model(names: set[str], source: Path, *, is_declared: bool) -> None:
    """Reject a wrong folder early, before gigabytes are copied."""
    weights = sorted(name for name in names if name.endswith((".pt", ".pth")))
    known = {MANIFEST, metadata.FILE, declared.FILE} & names
    if known or is_declared or (any(name.endswith(declared.NETWORKS) for name in names) and source.is_file()):
        return
    if weights:
        raise pytorch(source / weights[0])
    raise ModelError(
        f"{source} contains none of {MANIFEST}, {metadata.FILE} (Ultralytics) and {declared.FILE}. Import a folder "
        "written by `yolo export format=openvino`, or a network file with --head",
        "model_corrupt",
    )


def pytorch(weights: Path) -> ModelError:
    """The error for weights that must be exported first."""
    return ModelError(
        f"{weights.name} contains PyTorch weights. Convert it with: appliance model export {weights}",
        "model_unsupported",
    )


def holds_pytorch(source: Path) -> bool:
    """Whether `torch.save` wrote this file, by its name or content."""
    if source.suffix in (".pt", ".pth"):
        return True
    try:
        with open_plain(source) as file, archive.opened_zip(file, source) as packed:
            return any(name.endswith("/data.pkl") for name in packed.namelist()[: archive.MOST_MEMBERS])
    except Exception:  # noqa: BLE001  # anything unreadable is not a PyTorch file
        return False
