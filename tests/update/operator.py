"""An operator for tests: small bundles, and a repository signed with keys that exist only while a test runs."""

from __future__ import annotations

import datetime
import hashlib
import zipfile
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from appliance.update.offer import Offer, Platform
from appliance.workshop import repository
from appliance.workshop.repository import Terms
from tests.bundles import pack

PLATFORM = Platform("x86_64", "3.11")
SIGNED_AT = datetime.datetime(2026, 6, 1, tzinfo=datetime.timezone.utc)
NOW_S = (SIGNED_AT + datetime.timedelta(days=30)).timestamp()
ROLES = ("targets", "snapshot", "timestamp")


class Operator:
    """Holds two root keys, of which both must sign, and one key for each other role."""

    def __init__(self, folder: Path, signed_at: datetime.datetime = SIGNED_AT) -> None:
        self.folder, self.signed_at = folder, signed_at
        self.roots = [CryptoSigner.generate_ed25519() for _ in range(2)]
        self.signers = {role: CryptoSigner.generate_ed25519() for role in ROLES}
        self.version = 0
        self.rotate()

    @property
    def url(self) -> str:
        return f"file://{self.folder}"

    @property
    def root_key(self) -> Path:
        return self.folder / "metadata/1.root.json"

    def write_keys(self, folder: Path) -> Path:
        """Write the keys that sign releases, as `release.py key` does without a passphrase; returns the folder."""
        folder.mkdir()
        for role, signer in self.signers.items():
            (folder / f"{role}.pem").write_bytes(signer.private_bytes)
        return folder

    def rotate(self, **new: CryptoSigner) -> None:
        """Sign a new root, with new keys for these roles."""
        self.signers |= new
        self.version += 1
        keys = {role: [signer.public_key] for role, signer in self.signers.items()}
        keys["root"] = [signer.public_key for signer in self.roots]
        root = repository.make_root(keys, 2, self.signed_at, self.version)
        for signer in self.roots:
            root.sign(signer, append=True)
        repository.create(self.folder, root, self.signers, self.signed_at)

    def release(self, version: str, number: int, *, share: int = 100, size: int = 300_000) -> Offer:
        """Offer a release; its own wheel differs from those before, and the other one is always the same."""
        return self.offer(make_bundle(self.folder.parent, version, size), version, number, share=share)

    def offer(self, bundle: Path, version: str, number: int, *, share: int = 100) -> Offer:
        """Offer the content of a bundle."""
        terms = Terms("stable", number, share, f"Release {version}.", self.signed_at)
        return repository.add(self.folder, bundle, terms, self.signers)


def make_bundle(folder: Path, version: str, size: int) -> Path:
    """A bundle with two wheels, a model and scripts."""
    content = folder / f"bundle-{version}"
    _wheel(content / f"wheels/edge_detection_appliance-{version}-py3-none-any.whl", version.encode() * 1000)
    _wheel(content / "wheels/large-1.0-py3-none-any.whl", hashlib.shake_128(b"large").digest(size))
    for path, text in {
        "models/m/manifest.json": "{}",
        "systemd/install.sh": "#!/bin/sh\n",
        "provisioning/make_release.sh": "#!/bin/sh\n",
        "requirements.txt": "",
        "BUNDLE": f"version={version}\narchitecture={PLATFORM.machine}\npython={PLATFORM.python}\n",
    }.items():
        (content / path).parent.mkdir(parents=True, exist_ok=True)
        (content / path).write_text(text)
        (content / path).chmod(0o755 if path.endswith(".sh") else 0o644)
    return pack(content, folder / f"{version}.tar")


def _wheel(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("content"), data)
