"""What an operator does with releases: make keys and the root of trust, build a release, sign and publish it.

    release.py key FILE                      make one key; the passphrase is asked for
    release.py root --repository DIR …       make or renew the root of trust, with the keys of those who are present
    release.py build [--number N --keys DIR] wheel, sdist, bundles, bill of materials, checksums; with keys also sign
    release.py add --repository DIR …        offer bundles as a release
    release.py share --repository DIR …      offer the release to more devices
    release.py wave --prometheus URL …       the same, if Prometheus says that those who have it are well
    release.py renew --repository DIR …      sign again, before the signatures expire

docs/release.md describes the ceremony. The build is reproducible: SOURCE_DATE_EPOCH is the date of the last commit.
"""

from __future__ import annotations

import argparse
import datetime
import getpass
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Metadata, Root

from appliance import files
from appliance.errors import ApplianceError
from appliance.update.places import UpdateError
from appliance.workshop import repository, waves
from appliance.workshop.repository import Terms
from appliance.workshop.waves import WaveStep

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build/release"
ROLES = ("targets", "snapshot", "timestamp")
PASSPHRASE = "APPLIANCE_KEY_PASSPHRASE"
"""The environment variable with the passphrase of the keys; without it, it is asked for."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    key = commands.add_parser("key")
    key.add_argument("file", type=Path)
    key.set_defaults(command=make_key)
    root = commands.add_parser("root")
    root.add_argument("--root-keys", type=Path, nargs="+", required=True, help="public root keys (.pub) of all holders")
    root.add_argument("--sign-with", type=Path, nargs="+", required=True, help="private root keys that are here")
    root.add_argument("--threshold", type=int, default=2)
    root.set_defaults(command=make_root)
    build = commands.add_parser("build")
    build.add_argument("--archs", nargs="+", default=["amd64"], choices=("amd64", "arm64"))
    build.add_argument("--pythons", nargs="+", default=[f"3.{sys.version_info.minor}"])
    build.add_argument("--out", type=Path, default=OUT)
    build.set_defaults(command=build_release)
    add = commands.add_parser("add")
    add.add_argument("bundles", type=Path, nargs="+")
    add.set_defaults(command=add_bundles)
    share = commands.add_parser("share")
    share.set_defaults(command=set_share)
    wave = commands.add_parser("wave")
    wave.add_argument("--prometheus", required=True, metavar="URL", help="for example http://127.0.0.1:9090")
    wave.add_argument("--token-file", type=Path, help="bearer token for Prometheus")
    wave.add_argument("--job", default="appliance", help="of the devices in Prometheus")
    wave.add_argument("--steps", type=int, nargs="+", default=list(waves.STEPS), help="shares in percent, in order")
    wave.add_argument("--hours", type=float, default=24.0, help="how long a device must have run it")
    wave.add_argument("--dry-run", action="store_true", help="only say what would be done")
    wave.set_defaults(command=next_wave)
    renew = commands.add_parser("renew")
    renew.set_defaults(command=sign_again)
    for one in (root, build, add, share, wave, renew):
        one.add_argument("--keys", type=Path, help=f"folder with {', '.join(role + '.pem' for role in ROLES)}")
        one.add_argument("--repository", type=Path, default=OUT / "repository")
        one.add_argument("--channel", default="stable")
        one.add_argument("--number", type=int, help="grows with each release")
        one.add_argument("--share", type=int, default=100, help="of the devices that may install it, in percent")
        one.add_argument("--notes", default="", help="one sentence for the people at the devices")
    options = parser.parse_args(arguments)
    try:
        return int(options.command(options))
    except (ApplianceError, OSError, ValueError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1


def make_key(options: argparse.Namespace) -> int:
    """Write a private key, encrypted, and the public one next to it."""
    private = Ed25519PrivateKey.generate()
    secret = _passphrase(f"Passphrase for {options.file}: ")
    encryption = serialization.BestAvailableEncryption(secret) if secret else serialization.NoEncryption()
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    with os.fdopen(os.open(options.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    options.file.with_suffix(".pub").write_bytes(public)
    print(f"{options.file}: the private key; keep it secret. {options.file.with_suffix('.pub')}: the public key")
    return 0


def make_root(options: argparse.Namespace) -> int:
    """Make the first root of trust, or the next one with other keys."""
    signers = _signers(options)
    keys = {role: [signer.public_key] for role, signer in signers.items()}
    keys["root"] = [_public(path) for path in options.root_keys]
    metadata = options.repository / "metadata"
    newest = max((int(path.name.split(".")[0]) for path in metadata.glob("*.root.json")), default=0)
    root: Metadata[Root] = repository.make_root(keys, options.threshold, _now(), newest + 1)
    for path in options.sign_with:
        root.sign(_signer(path), append=True)
    repository.create(options.repository, root, signers, _now())
    shutil.copy(metadata / f"{newest + 1}.root.json", options.repository / "root.json")
    print(f"{options.repository}/root.json: put it on each device as /etc/appliance-update/root.json")
    return 0


def build_release(options: argparse.Namespace) -> int:
    """Build everything that is published; sign it if there are keys."""
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    if not (ROOT / ".cache/tools/bin/cyclonedx-py").exists():
        raise UpdateError(
            "a release needs its bill of materials, and its tool is missing: make .cache/tools/.installed"
        )
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch()), "PYTHONHASHSEED": "0"}
    make_sdist(out)
    bundles = []
    for arch in options.archs:
        for python in options.pythons:
            command = [sys.executable, str(ROOT / "provisioning/bundle.py"), "--arch", arch, "--python", python]
            subprocess.run([*command, "--out", str(out)], check=True, env=environment)
            bundles += sorted(out.glob(f"appliance-*-{arch}-py{python}.tar"))
    take_wheel(bundles[0], out)
    subprocess.run([sys.executable, str(ROOT / "provisioning/supply_chain.py"), "sbom"], check=True, env=environment)
    shutil.copy(ROOT / "build/sbom.cdx.json", out / "sbom.cdx.json")
    if options.keys is not None:
        options.bundles = bundles
        add_bundles(options)
    made = sorted(path for path in out.iterdir() if path.is_file() and path.name != "SHA256SUMS")
    (out / "SHA256SUMS").write_text("".join(f"{files.sha256(path)}  {path.name}\n" for path in made))
    print(f"{out}: {len(made)} files, {sum(path.stat().st_size for path in made) / 1e6:.0f} MB")
    return 0


def take_wheel(bundle: Path, out: Path) -> None:
    """The appliance's own wheel, as the bundle has it: built with the setuptools of the lock file."""
    with tarfile.open(bundle) as archive:
        name = next(one for one in archive.getnames() if one.startswith("wheels/edge_detection_appliance-"))
        content = archive.extractfile(name)
        assert content is not None
        (out / Path(name).name).write_bytes(content.read())


def make_sdist(out: Path) -> Path:
    """The sources of the last commit as one archive, with the same bytes each time."""
    version = next(
        line.split('"')[1]
        for line in (ROOT / "appliance/__init__.py").read_text().splitlines()
        if line.startswith("__version__")
    )
    path = out / f"edge-detection-appliance-{version}.tar"
    name = f"--prefix=edge-detection-appliance-{version}/"
    subprocess.run(["git", "-C", str(ROOT), "archive", "--format=tar", name, f"--output={path}", "HEAD"], check=True)
    return path


def add_bundles(options: argparse.Namespace) -> int:
    """Offer bundles as a release, and write the repository as one file for devices without a network."""
    if options.number is None:
        raise UpdateError("--number is missing: it must grow with each release")
    terms = Terms(options.channel, options.number, options.share, options.notes, _now())
    signers = _signers(options)
    for bundle in options.bundles:
        offer = repository.add(options.repository, bundle, terms, signers)
        print(f"{bundle.name}: {offer.name} is number {offer.number} for {offer.share} % of the devices")
    path = options.repository.with_name(f"appliance-update-{options.number}.tar")
    with tarfile.open(path, "w") as archive:
        for part in ("metadata", "targets"):
            for file in sorted(one for one in (options.repository / part).rglob("*") if one.is_file()):
                archive.add(file, file.relative_to(options.repository).as_posix(), filter=_plain)
    print(f"{path}: the repository in one file, for `appliance update install FILE`")
    return 0


def set_share(options: argparse.Namespace) -> int:
    for offer in repository.set_share(options.repository, options.channel, options.share, _signers(options), _now()):
        print(f"{offer.name}: {offer.share} % of the devices")
    return 0


def next_wave(options: argparse.Namespace) -> int:
    """Offer the newest release to more devices if it is well. Exit code 3: it is not, and a person must look."""
    token = options.token_file.read_text(encoding="utf-8").strip() if options.token_file else ""
    newest = max(repository.offered(options.repository, options.channel), key=lambda offer: offer.number)
    fleet = waves.Prometheus(options.prometheus, token, options.job).fleet(newest, options.hours)
    decision = waves.decide(newest.share, sorted(options.steps), fleet)
    print(f"{newest.version} for {newest.share} %: {decision.step.value}: {decision.why}")
    if decision.step is WaveStep.RAISE and not options.dry_run:
        options.share = decision.share
        set_share(options)
    return 3 if decision.step is WaveStep.STOP else 0


def sign_again(options: argparse.Namespace) -> int:
    gone = repository.prune(options.repository, _signers(options), _now())
    days = min(repository.DAYS[role] for role in ROLES)
    print(f"signed for another {days} days; {gone} files of older releases removed")
    return 0


def epoch() -> int:
    """The date of everything that is built: SOURCE_DATE_EPOCH, or that of the last commit."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    done = subprocess.run(
        ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def _now() -> datetime.datetime:
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return datetime.datetime.fromtimestamp(int(given), datetime.timezone.utc)
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def _signers(options: argparse.Namespace) -> dict[str, CryptoSigner]:
    if options.keys is None:
        raise UpdateError("--keys is missing: the folder with targets.pem, snapshot.pem and timestamp.pem")
    return {role: _signer(options.keys / f"{role}.pem") for role in ROLES}


def _signer(path: Path) -> CryptoSigner:
    data = path.read_bytes()
    secret = _passphrase(f"Passphrase of {path}: ") if b"ENCRYPTED" in data else None
    private = serialization.load_pem_private_key(data, secret)
    if not isinstance(private, Ed25519PrivateKey):
        raise UpdateError(f"{path} is not an Ed25519 key: make one with `release.py key`")
    return CryptoSigner(private)


def _public(path: Path) -> SSlibKey:
    key = serialization.load_pem_public_key(path.read_bytes())
    return SSlibKey.from_crypto(key)  # type: ignore[arg-type]


def _passphrase(question: str) -> bytes:
    given = os.environ.get(PASSPHRASE)
    return (given if given is not None else getpass.getpass(question)).encode()


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = "root"
    info.mode = 0o644
    return info


if __name__ == "__main__":
    sys.exit(main())
