"""The file format of a backup: a gzipped tar archive, encrypted with a passphrase by age.

age (https://age-encryption.org) derives the key with scrypt and authenticates every block, so a damaged file or a wrong
passphrase is noticed before anything is restored. `age --decrypt` opens a backup without this program.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from appliance.errors import ApplianceError
from appliance.files import open_plain

FORMAT = 1
MOST_BYTES = 500_000_000
_MOST_FILES = 10_000
_ABOUT = "backup.json"


class BackupError(ApplianceError):
    """A backup cannot be made or read.

    Codes: backup_too_large, backup_unreadable, passphrase_wrong, passphrase_short, restore_unavailable.
    """

    code = "backup_unreadable"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in a backup."""

    sha256: str
    mode: int
    """Permission bits."""


@dataclass(frozen=True, slots=True)
class About:
    """The first file of a backup."""

    format: int
    version: str
    """Of the program that made it."""
    host: str
    board: str
    made_at: str
    """ISO 8601, UTC."""
    files: dict[str, StoredFile]


@dataclass(frozen=True, slots=True)
class Opened:
    """A decrypted backup whose files are all complete."""

    about: About
    contents: dict[str, bytes]


def seal(contents: Iterable[tuple[str, Path]], about: About, passphrase: str) -> tuple[bytes, About]:
    """The encrypted backup of these files, and its description. Raises BackupError backup_too_large."""
    import pyrage

    stored: dict[str, StoredFile] = {}
    read: list[tuple[str, bytes]] = []
    total = 0
    for name, path in contents:
        try:
            with open_plain(path, links=False) as file:
                data, mode = file.read(MOST_BYTES + 1), path.stat().st_mode & 0o777
        except FileNotFoundError:
            continue  # the service has replaced it meanwhile
        total += len(data)
        if total > MOST_BYTES:
            raise BackupError(f"more than {MOST_BYTES / 1e6:.0f} MB at {path}", "backup_too_large")
        stored[name] = StoredFile(hashlib.sha256(data).hexdigest(), mode)
        read.append((name, data))
    complete = About(about.format, about.version, about.host, about.board, about.made_at, stored)
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w|") as archive,
    ):
        for name, data in [(_ABOUT, json.dumps(asdict(complete), indent=1).encode()), *read]:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mode = stored[name].mode if name in stored else 0o600
            archive.addfile(member, io.BytesIO(data))
    return pyrage.passphrase.encrypt(packed.getvalue(), passphrase), complete


def unseal(data: bytes, passphrase: str) -> Opened:
    """Decrypt a backup and check every file. Raises BackupError backup_unreadable or passphrase_wrong."""
    import pyrage

    if not data.startswith(b"age-encryption.org/"):
        raise BackupError("this file is not a backup. Name the one that `appliance backup` has written: NAME.age")
    try:
        packed = pyrage.passphrase.decrypt(data, passphrase)
    except pyrage.DecryptError as error:
        if "Decryption failed" in str(error):
            raise BackupError(
                "the passphrase is wrong. Enter the one with which this backup was made", "passphrase_wrong"
            ) from None
        raise BackupError("the backup is damaged. Copy it again") from None
    try:
        contents = _unpack(packed)
        about = msgspec.json.decode(contents.pop(_ABOUT, b""), type=About)
    except (tarfile.TarError, OSError, EOFError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise BackupError(f"the backup cannot be read: {error}. Copy it again") from None
    if about.format != FORMAT:
        raise BackupError(f"the backup was made by a newer version ({about.version}). Update this device first")
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    if sums != {name: file.sha256 for name, file in about.files.items()}:
        raise BackupError("the backup is not complete. Copy it again")
    return Opened(about, contents)


def _unpack(packed: bytes) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    total = 0
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as zipped, tarfile.open(fileobj=zipped, mode="r|") as archive:
        for member in archive:
            total += member.size
            if not member.isfile() or total > MOST_BYTES or len(contents) > _MOST_FILES:
                raise ValueError(f"unexpected content {member.name[:100]!r}")
            file = archive.extractfile(member)
            contents[member.name] = file.read() if file is not None else b""
    return contents
