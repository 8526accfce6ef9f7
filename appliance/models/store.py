"""The folder of bundles: what is there, what comes in from outside, what goes."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO

from appliance.errors import ModelError, did_you_mean
from appliance.models import active, declared, fetch, scratch
from appliance.models import bundle as bundles
from appliance.models.bundle import Bundle
from appliance.models.declared import Declaration
from appliance.models.network import inspect

_MOST_BYTES = 2_000_000_000
"""Unpacked size of an archive; a nano model has 6 to 25 MB."""


def entries(models_dir: Path) -> dict[str, Bundle | ModelError]:
    """Every bundle under the folder by name, or what is wrong with it."""
    found: dict[str, Bundle | ModelError] = {}
    for name in names(models_dir):
        try:
            found[name] = bundles.read(models_dir / name)
        except ModelError as error:
            found[name] = error
    return found


def names(models_dir: Path) -> list[str]:
    """The folders that are there, whatever is in them."""
    folders = sorted(path for path in models_dir.iterdir() if path.is_dir()) if models_dir.is_dir() else []
    return [folder.name for folder in folders if not folder.name.startswith(".")]


def folder_of(models_dir: Path, name: str) -> Path:
    """Where the model of this name lies. Raises ModelError model_missing when there is none, naming the nearest."""
    if name not in names(models_dir):
        known = names(models_dir)
        there = did_you_mean(name, known) or (f"; there are: {', '.join(known)}" if known else "; the folder is empty")
        raise ModelError(f"there is no model '{name}' in {models_dir}{there}", "model_missing")
    return models_dir / name


def check_new_name(name: str) -> None:
    """Raises ModelError model_unsupported for what cannot be the name of a bundle's folder."""
    if not name or name.startswith(".") or PurePosixPath(name).name != name or "\\" in name:
        raise ModelError(f"'{name}' cannot be a model's name: it becomes a folder in model.dir", "model_unsupported")


def take_in(
    source: Path, models_dir: Path, name: str, *, force: bool = False, declaration: Declaration | None = None
) -> Bundle:
    """Copy a bundle from outside into the store as `name`: a folder, a .zip or a .tar.* archive of one.

    What `yolo export` wrote is taken as well, and gets a manifest, so that damage is noticed from then on; and a
    network file, alone or in a folder, that says itself how it is read, or whose declaration is given or lies beside
    it. It appears whole or not at all.
    Raises ModelError: model_missing, model_corrupt, model_unsupported.
    """
    check_new_name(name)
    folder = models_dir / name
    if folder.exists() and not force:
        raise ModelError(f"{folder} is there already; --force replaces it, --name gives another", "model_unsupported")
    if not source.exists():
        raise ModelError(f"there is no {source}", "model_missing")
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        with scratch.folder(models_dir, "import") as place:
            if source.suffix in declared.NETWORKS:
                return _of_network(source, folder, declaration)
            unpacked = _bundle_in(source if source.is_dir() else _unpack(source, place))
            if declaration is not None or (unpacked / declared.FILE).exists():
                told = declaration or declared.read(unpacked / declared.FILE)
                return declared.build(declared.network_in(unpacked), folder, told)
            read = bundles.read(unpacked)
            with scratch.appearing(folder) as fresh:
                _copy(read, fresh)
                bundle = replace(read, name=name, network=fresh / read.network.name, source=read.source or source.name)
                inspect(bundle.network)  # that it opens
                bundles.write_manifest(bundle)
    except OSError as error:
        raise ModelError(f"{error.filename or source}: {error.strerror or error}", "model_corrupt") from None
    return bundles.read(folder)


def _of_network(network: Path, folder: Path, declaration: Declaration | None) -> Bundle:
    if declaration is not None:
        return declared.build(network, folder, declaration)
    if network.suffix != ".onnx":
        raise ModelError(f"{network} does not say how it is read: give --head, or its folder", "model_unsupported")
    return fetch.build(network, folder, network.name, keep_onnx=True)


def remove(models_dir: Path, name: str, configured: str) -> None:
    """Delete a bundle. Raises ModelError model_missing, or model_not_activated for the one that is in use."""
    folder = folder_of(models_dir, name)
    for used in (active.read(models_dir, configured).name, configured):
        if name == used:
            raise ModelError(f"{name} is in use: activate another one first", active.NOT_ACTIVATED)
    try:
        with scratch.folder(models_dir, "remove") as place:
            folder.rename(place / name)  # gone at once, and never half there
    except OSError as error:
        raise ModelError(f"{folder} cannot be deleted: {error.strerror}", "model_corrupt") from None


def _bundle_in(folder: Path) -> Path:
    """The folder itself, or the only one in it: archives are made with and without."""
    inside = [path for path in folder.iterdir() if not path.name.startswith((".", "__"))]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _copy(read: Bundle, fresh: Path) -> None:
    """A bundle's files: those of its manifest, or all that lie in a folder of somebody else's."""
    origin = read.network.parent
    files: Iterable[str] = read.files or (path.name for path in origin.iterdir() if path.is_file())
    for file in files:
        shutil.copyfile(origin / file, fresh / file)


def _unpack(archive: Path, place: Path) -> Path:
    """Plain files alone, at most one folder deep: links, devices and paths that lead outside are refused."""
    target = place / "unpacked"
    target.mkdir()
    left = _MOST_BYTES
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                for member in packed.infolist():
                    if not member.is_dir():
                        left -= member.file_size
                        with packed.open(member) as content:
                            _put(content, member.filename, target, left)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as bundle:
                for entry in bundle:
                    if entry.isdir():
                        continue
                    content_of = bundle.extractfile(entry) if entry.isfile() else None
                    if content_of is None:
                        raise ModelError(f"{archive} holds a link or a device: {entry.name}", "model_corrupt")
                    left -= entry.size
                    _put(content_of, entry.name, target, left)
        else:
            raise ModelError(f"{archive} is neither a folder, nor a .zip, nor a .tar archive", "model_unsupported")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"{archive} is damaged: {error}", "model_corrupt") from None
    return target


def _put(content: IO[bytes], member: str, target: Path, left_bytes: int) -> None:
    parts = [part for part in PurePosixPath(member).parts if part != "."]
    if not 1 <= len(parts) <= 2 or ".." in parts or member.startswith("/") or "\\" in member:
        raise ModelError(f"'{member}' is no file of a model: a folder with its files is expected", "model_corrupt")
    if left_bytes < 0:
        raise ModelError(f"it unpacks to more than {_MOST_BYTES / 1e9:.0f} GB", "model_corrupt")
    path = target.joinpath(*parts)
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
