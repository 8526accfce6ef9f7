"""The release that a repository offers to devices of one kind, as its signed metadata describe it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from appliance.update.places import UpdateError


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A release. `number` grows with each one; `share`: of all devices, in percent; `signed_s`: when, since 1970."""

    name: str
    version: str
    number: int
    signed_s: int
    share: int = 100
    notes: str = ""

    def __post_init__(self) -> None:
        plain = self.name.replace(".", "").replace("-", "").replace("+", "")
        if not (plain.isalnum() and plain.isascii() and len(self.name) <= 80) or self.name.startswith((".", "-")):
            raise ValueError("name: letters, digits, '.', '-' and '+' only")
        if self.number < 1 or not 0 <= self.share <= 100:
            raise ValueError("number must be at least 1, share 0 to 100")


@dataclass(frozen=True, slots=True)
class Platform:
    """Which build of a release a device needs, for example x86_64 with Python 3.11."""

    machine: str
    python: str

    def target(self, channel: str) -> str:
        """The path of the release's list of files in the repository."""
        return f"{channel}/{self.machine}-py{self.python}.json"


class ListedFile(msgspec.Struct, frozen=True):
    """A file of a release: its path in the bundle, and the target that holds it."""

    path: str
    target: str

    def __post_init__(self) -> None:
        parts = self.path.split("/")
        if self.path.startswith("/") or ".." in parts or "" in parts or len(self.path) > 300:
            raise ValueError("path: relative, without '..'")


class FileList(msgspec.Struct, frozen=True):
    """The content of the target of a release. `unpacked_bytes`: on the disk."""

    files: tuple[ListedFile, ...]
    unpacked_bytes: int


def read_offer(custom: Mapping[str, Any] | None) -> Offer:
    """The signed description of a release. Raises UpdateError."""
    try:
        return msgspec.convert(custom, Offer)
    except (msgspec.ValidationError, TypeError) as error:
        raise UpdateError(
            f"the repository describes its release wrongly: {error}. Make it with `make release`", "update_refused"
        ) from None


def read_list(data: bytes) -> FileList:
    """The files of a release. Raises UpdateError."""
    try:
        return msgspec.json.decode(data, type=FileList)
    except msgspec.MsgspecError as error:
        raise UpdateError(f"the release lists its files wrongly: {error}", "update_refused") from None


def in_wave(device_id: str, offer: Offer) -> bool:
    """Whether this device is among the share of devices that may install the release now."""
    digest = hashlib.sha256(f"{device_id},{offer.number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 100 < offer.share
