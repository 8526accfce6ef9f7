"""Make and sign a repository of releases (TUF): the operator's side of updates.

A repository is a folder of files for any web server or USB stick. Four roles sign it: `root` names all keys and stays
offline; `targets` signs releases; `snapshot` and `timestamp` say which of these are the newest.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
from securesystemslib.signer import Key, Signer
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from appliance import files
from appliance.update.offer import FileList, ListedFile, Offer, Platform, read_list
from appliance.update.places import UpdateError

_SAFE: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""Python 3.11.2 of Debian 12 has no filters; the bundle is the operator's own."""
_JSON = JSONSerializer(compact=False)
_UNPACKED_FACTOR = 1.5
"""Byte code, and blocks that are not full."""
DAYS = {"root": 5 * 365, "targets": 365, "snapshot": 365, "timestamp": 365}
"""How long each role's signature is valid: a stick may wait in a drawer for months."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a release is offered."""

    channel: str
    number: int
    share: int
    notes: str
    signed_at: datetime.datetime


def make_root(
    keys: Mapping[str, Sequence[Key]], threshold: int, signed_at: datetime.datetime, version: int = 1
) -> Metadata[Root]:
    """An unsigned root: who may sign what. `threshold`: of the root keys; each other role needs one."""
    root = Root(version=version, expires=_expiry("root", signed_at), consistent_snapshot=True)
    for role, of_role in keys.items():
        for key in of_role:
            root.add_key(key, role)
    root.roles["root"].threshold = threshold
    return Metadata(root)


def create(folder: Path, root: Metadata[Root], signers: Mapping[str, Signer], signed_at: datetime.datetime) -> None:
    """Create an empty repository, or put a newer root into it. Raises UpdateError if the root is not valid."""
    metadata = folder / "metadata"
    (folder / "targets").mkdir(parents=True, exist_ok=True)
    metadata.mkdir(exist_ok=True)
    before = metadata / f"{root.signed.version - 1}.root.json"
    try:
        root.signed.verify_delegate("root", root.signed_bytes, root.signatures)
        if before.exists():
            former = Metadata[Root].from_file(str(before)).signed
            former.verify_delegate("root", root.signed_bytes, root.signatures)
    except UnsignedMetadataError as error:
        raise UpdateError(f"the root has too few signatures: {error}", "update_refused") from None
    root.to_file(str(metadata / f"{root.signed.version}.root.json"), _JSON)
    # With new keys everything is signed again.
    targets = current_targets(folder) if _newest(metadata, "targets") else Targets()
    sign(folder, targets, signers, signed_at)


def add(folder: Path, bundle: Path, terms: Terms, signers: Mapping[str, Signer]) -> Offer:
    """Offer the content of a bundle. Raises UpdateError."""
    targets = current_targets(folder)
    with tempfile.TemporaryDirectory() as work:
        content = Path(work)
        platform, version = _unpacked(bundle, content)
        listed = _put_files(folder, targets, content)
        offer = Offer(
            name=f"{version}-{bundle_hash(content)}",
            version=version,
            number=terms.number,
            signed_s=int(terms.signed_at.timestamp()),
            share=terms.share,
            notes=terms.notes,
        )
    path = platform.target(terms.channel)
    before = targets.targets.get(path)
    if before is not None and before.unrecognized_fields["custom"]["number"] > offer.number:
        raise UpdateError(f"{path} offers a release with a higher number already", "update_old")
    _put(folder, targets, path, msgspec.json.encode(listed), msgspec.to_builtins(offer))
    sign(folder, targets, signers, terms.signed_at)
    return offer


def offered(folder: Path, channel: str) -> list[Offer]:
    """The releases of a channel, one for each kind of device. Raises UpdateError."""
    found = [
        msgspec.convert(target.unrecognized_fields["custom"], Offer)
        for path, target in current_targets(folder).targets.items()
        if path.startswith(f"{channel}/")
    ]
    if not found:
        raise UpdateError(f"the repository has no channel {channel}", "update_absent")
    return found


def set_share(
    folder: Path, channel: str, share: int, signers: Mapping[str, Signer], signed_at: datetime.datetime
) -> list[Offer]:
    """Offer the releases of a channel to this share of the devices, in percent."""
    targets, changed = current_targets(folder), []
    for path, target in targets.targets.items():
        if path.startswith(f"{channel}/"):
            custom = target.unrecognized_fields["custom"]
            custom["share"] = share
            changed.append(msgspec.convert(custom, Offer))
    if not changed:
        raise UpdateError(f"the repository has no channel {channel}", "update_absent")
    sign(folder, targets, signers, signed_at)
    return changed


def sign(folder: Path, targets: Targets, signers: Mapping[str, Signer], signed_at: datetime.datetime) -> None:
    """Sign new versions of targets, snapshot and timestamp, the last one last."""
    metadata = folder / "metadata"
    targets.version = (_newest(metadata, "targets") or 0) + 1
    targets.expires = _expiry("targets", signed_at)
    version = (_newest(metadata, "snapshot") or 0) + 1
    _write(metadata / f"{targets.version}.targets.json", Metadata(targets), signers["targets"])
    meta = {"targets.json": MetaFile(targets.version)}
    made = Snapshot(version=version, expires=_expiry("snapshot", signed_at), meta=meta)
    _write(metadata / f"{version}.snapshot.json", Metadata(made), signers["snapshot"])
    stamp = Timestamp(version=version, expires=_expiry("timestamp", signed_at), snapshot_meta=MetaFile(version))
    _write(metadata / "timestamp.json", Metadata(stamp), signers["timestamp"])


def current_targets(folder: Path) -> Targets:
    """The newest signed targets. Raises UpdateError."""
    version = _newest(folder / "metadata", "targets")
    if version is None:
        raise UpdateError(f"{folder} is not a repository", "update_absent")
    path = folder / "metadata" / f"{version}.targets.json"
    try:
        return Metadata[Targets].from_file(str(path)).signed
    except DeserializationError:
        raise UpdateError(f"{path} is damaged. Restore it from a copy of the repository", "update_refused") from None


def prune(folder: Path, signers: Mapping[str, Signer], signed_at: datetime.datetime) -> int:
    """Remove files that no release names any more; returns how many."""
    targets = current_targets(folder)
    kept: dict[str, TargetFile] = {}
    for path, target in targets.targets.items():
        if path.endswith(".json") and not path.startswith("files/"):
            kept[path] = target
            listed = read_list(_stored(folder, path, target.hashes["sha256"]).read_bytes())
            kept |= {one.target: targets.targets[one.target] for one in listed.files}
    targets.targets = kept
    sign(folder, targets, signers, signed_at)
    names = {_stored(folder, path, target.hashes["sha256"]) for path, target in kept.items()}
    gone = [file for file in (folder / "targets").rglob("*") if file.is_file() and file not in names]
    for file in gone:
        file.unlink()
    return len(gone)


def bundle_hash(content: Path) -> str:
    """The hash in the release's name, as the installer forms it."""
    digests = {name: hashlib.sha256((content / name).read_bytes()).hexdigest() for name in ("BUNDLE", "SHA256SUMS")}
    lines = (f"{digest}  {name}\n" for name, digest in digests.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:8]


def _unpacked(bundle: Path, content: Path) -> tuple[Platform, str]:
    """Unpack a bundle; returns for which devices and of which version it is. Raises UpdateError."""
    try:
        with tarfile.open(bundle) as archive:
            archive.extractall(content, **_SAFE)
        about = dict(line.split("=", 1) for line in (content / "BUNDLE").read_text().splitlines())
        return Platform(about["architecture"], about["python"]), about["version"]
    except OSError as error:
        raise UpdateError(f"{bundle} cannot be read: {error}", "update_refused") from None
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, KeyError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise UpdateError(f"{bundle} is not a bundle, or is damaged: {why}", "update_refused") from None


def _put_files(folder: Path, targets: Targets, content: Path) -> FileList:
    """Add the files of a bundle: wheels and models one by one, all scripts in one archive."""
    listed, unpacked = [], 0
    own = {"wheels", "models"}
    for path in sorted(path for path in content.rglob("*") if path.is_file()):
        relative = path.relative_to(content).as_posix()
        if relative.split("/")[0] not in own:
            continue
        data = path.read_bytes()
        unpacked += sum(one.file_size for one in zipfile.ZipFile(path).infolist()) if path.suffix == ".whl" else 0
        unpacked += len(data)
        target = f"files/{hashlib.sha256(data).hexdigest()[:12]}/{path.name}"
        if target not in targets.targets:
            _put(folder, targets, target, data)
        listed.append(ListedFile(relative, target))
    scripts = _archive(content, [path for path in sorted(content.iterdir()) if path.name not in own])
    target = f"files/{hashlib.sha256(scripts).hexdigest()[:12]}/scripts.tar.xz"
    _put(folder, targets, target, scripts)
    listed.append(ListedFile("scripts.tar.xz", target))
    return FileList(tuple(listed), int(unpacked * _UNPACKED_FACTOR))


def _archive(content: Path, members: Sequence[Path]) -> bytes:
    """An archive that has the same bytes each time."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = "root"
        info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
        return info

    file = BytesIO()
    with tarfile.open(fileobj=file, mode="w:xz", format=tarfile.USTAR_FORMAT) as archive:
        for member in members:
            archive.add(member, member.relative_to(content).as_posix(), filter=plain)
    return file.getvalue()


def _put(folder: Path, targets: Targets, path: str, data: bytes, custom: object = None) -> None:
    target = TargetFile.from_data(path, data, ["sha256"])
    if custom is not None:
        target.unrecognized_fields["custom"] = custom
    targets.targets[path] = target
    stored = _stored(folder, path, target.hashes["sha256"])
    stored.parent.mkdir(parents=True, exist_ok=True)
    files.write(stored, data, 0o644)  # on the disk before the metadata that names it


def _stored(folder: Path, path: str, digest: str) -> Path:
    parent, _, name = path.rpartition("/")
    return folder / "targets" / parent / f"{digest}.{name}"


def _newest(metadata: Path, role: str) -> int | None:
    numbers = (path.name.partition(".")[0] for path in metadata.glob(f"*.{role}.json"))
    return max((int(number) for number in numbers if number.isdecimal()), default=None)


def _expiry(role: str, signed_at: datetime.datetime) -> datetime.datetime:
    return signed_at.replace(microsecond=0) + datetime.timedelta(days=DAYS[role])


def _write(path: Path, metadata: Metadata, signer: Signer) -> None:  # type: ignore[type-arg]
    metadata.sign(signer)
    # As a whole, in place of the former file: devices may be reading, and copies may be hard links.
    files.write(path, json.dumps(metadata.to_dict(), indent=1, sort_keys=True).encode() + b"\n", 0o644)
