"""Install a staged release: as root, without a network, and with nothing but its name.

Rules of this file:
- What is staged belongs to the unprivileged part and may be anything. All of it is verified again while it is copied to
  a folder of root.
- A release is complete when its last file is there, which is written after all others are on the disk.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from tuf.api.metadata import TargetFile

from appliance import files
from appliance.update import installed, staging
from appliance.update.offer import Offer, Platform
from appliance.update.places import UpdateError, UpdatePlaces
from appliance.update.sources import Fetcher
from appliance.update.trust import Repository

COMPLETE = "complete"
_CHANNEL = re.compile(r"[a-z0-9-]{1,40}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,79}")
_MOST_SCRIPT_BYTES = 50_000_000
_FULL = "No space left on device"
"""As the system and pip say it, each in a sentence of its own."""

Make = Callable[[Path, Path], None]
"""Makes a release's environment: from the folder of its bundle, into its folder."""


def unpack(places: UpdatePlaces, name: str, platform: Platform, clock_s: float, make: Make) -> Offer:
    """Install the staged release of this name. Raises UpdateError; then nothing is left of it."""
    scratch = places.base / "update/scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        return _unpack(places, name, platform, clock_s, make, scratch)
    except OSError as error:
        raise _failed(name, _reason(error)) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _unpack(places: UpdatePlaces, name: str, platform: Platform, clock_s: float, make: Make, scratch: Path) -> Offer:
    channel = files.read_plain(places.staging / staging.CHANNEL, 100).decode("ascii", "replace").strip()
    if _CHANNEL.fullmatch(channel) is None:
        raise UpdateError("the staged release names no channel", "update_refused")
    downgrade = _downgrade_allowed(places, name)
    wanted = staging.Wanted(
        url=f"file://{places.staging}",
        channel=channel,
        platform=platform,
        device_id="",
        by_person=True,
        downgrade=downgrade,
    )
    trusted = scratch / "trusted" if downgrade else places.trusted
    now_s = staging.latest_time_s(places, clock_s)
    repository = Repository(wanted.url, trusted, places.root_key, Fetcher(scratch), now_s)
    offer, found = repository.offer(platform.target(channel))
    if offer.name != name:
        raise UpdateError(f"{offer.name} is staged, not {name}", "update_refused")
    if problem := staging.why_not(places, offer, wanted):
        raise problem
    release = places.releases / name
    if not (release / COMPLETE).exists():
        listed = repository.listed(found, scratch)
        staging.require_space(places.base, listed.unpacked_bytes)
        _build(places, repository, repository.files(listed), offer, scratch / "bundle", make)
    (places.base / "update" / _ALLOW).unlink(missing_ok=True)
    return offer


def _build(
    places: UpdatePlaces, repository: Repository, needed: dict[str, TargetFile], offer: Offer, bundle: Path, make: Make
) -> None:
    release = places.releases / offer.name
    shutil.rmtree(release, ignore_errors=True)
    try:
        for path in staging.needed_here(places, needed):
            target = bundle / path
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = staging.have(places, path, needed[path])
            if copy is not None:
                target.hardlink_to(copy)
            else:
                repository.fetch(needed[path], target)
        _extract(bundle / "scripts.tar.xz", bundle)
        release.mkdir(parents=True)
        for part in ("systemd", "provisioning"):
            shutil.copytree(bundle / part, release / part)
        make(bundle, release)
        _put_models(places, bundle / "models")
        (release / installed.FILE).write_bytes(msgspec.json.encode(offer))
        subprocess.run(["sync", "-f", str(release)], check=True)
        (release / COMPLETE).touch()
        subprocess.run(["sync", "-f", str(release)], check=True)
    except subprocess.CalledProcessError as error:
        shutil.rmtree(release, ignore_errors=True)
        raise _failed(offer.name, _end_of(error)) from None
    except BaseException:
        shutil.rmtree(release, ignore_errors=True)
        raise


def _put_models(places: UpdatePlaces, models: Path) -> None:
    """Add models that are not installed: a release never changes one that is."""
    for model in sorted(models.iterdir()) if models.is_dir() else ():
        target = places.base / "models" / model.name
        if not (target / "manifest.json").exists():
            new = target.with_name(f".{model.name}.new")
            shutil.rmtree(new, ignore_errors=True)
            shutil.copytree(model, new)
            subprocess.run(["sync", "-f", str(new)], check=True)
            shutil.rmtree(target, ignore_errors=True)
            new.rename(target)


def _extract(archive: Path, into: Path) -> None:
    """Extract plain files and folders only. The archive is signed; this is against mistakes."""
    with tarfile.open(archive) as opened:
        for member in opened:
            parts = member.name.split("/")
            if ".." in parts or member.name.startswith("/") or member.size > _MOST_SCRIPT_BYTES:
                raise UpdateError(f"the release contains {member.name}", "update_refused")
            path = into / member.name
            if member.isdir():
                path.mkdir(parents=True, exist_ok=True)
            elif member.isfile():
                path.parent.mkdir(parents=True, exist_ok=True)
                file = opened.extractfile(member)
                assert file is not None  # it is a regular file
                path.write_bytes(file.read())
                path.chmod(0o755 if member.mode & 0o100 else 0o644)


def read_name(path: Path) -> str:
    """The name of a release in a file that the unprivileged part has left. Raises UpdateError."""
    try:
        with files.open_plain(path, links=False) as file:
            name = file.read(200).decode("ascii", "replace").strip()
    except OSError as error:
        raise UpdateError(f"nothing is requested: {error.strerror}", "update_absent") from None
    if _NAME.fullmatch(name) is None:
        raise UpdateError("the requested name is not the name of a release", "update_refused")
    return name


_ALLOW = "allow-downgrade"


def allow_downgrade(places: UpdatePlaces, name: str) -> None:
    """Note that a person wants this release although it is older. Raises OSError."""
    (places.base / "update").mkdir(parents=True, exist_ok=True)
    files.write(places.base / "update" / _ALLOW, name.encode(), 0o600)


def _downgrade_allowed(places: UpdatePlaces, name: str) -> bool:
    try:
        return files.read_plain(places.base / "update" / _ALLOW, 200) == name.encode()
    except OSError:
        return False


def _failed(name: str, reason: str) -> UpdateError:
    if _FULL in reason:
        return UpdateError(f"{name} cannot be installed: {_FULL}. {staging.FREE_SPACE}", "update_space")
    return UpdateError(f"{name} cannot be installed: {reason}", "update_failed")


def _reason(error: OSError) -> str:
    if isinstance(error, shutil.Error):  # of a folder: a list of sources, targets and reasons
        return str(error.args[0][-1][-1])
    return f"{error.strerror}: {error.filename}" if error.filename else str(error)


def _end_of(error: subprocess.CalledProcessError) -> str:
    text = error.stderr or error.stdout or b""
    lines = (text.decode("utf-8", "replace") if isinstance(text, bytes) else text).strip().splitlines()
    return lines[-1][:300] if lines else f"{Path(error.cmd[0]).name} failed with {error.returncode}"
