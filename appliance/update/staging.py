"""Fetch a release, verify it and lay it ready: unprivileged, and only in the folder of the updates.

Rules of this file:
- Any failure leaves the releases as they are; what is left of an earlier attempt is removed first.
- A file that the device has already, by its signed hash, is not fetched again.
- The free space is compared with the signed lengths before the first byte is fetched.
- Root verifies all of it again before it installs anything: see unpack.py.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tuf.api.metadata import TargetFile

from appliance import files
from appliance.update import guard_state, last_check
from appliance.update.installed import built_s, number_of
from appliance.update.last_check import LastCheck
from appliance.update.offer import Offer, Platform, in_wave
from appliance.update.places import FAULTS, UpdateError, UpdatePlaces
from appliance.update.sources import Fetcher
from appliance.update.trust import Repository, export, sha256_of, stored_at

CHANNEL = "channel"
"""The file in the staging folder that says where in the repository the release is."""
SPARE_BYTES = 200_000_000
"""What stays free: the service's own files, and the journal."""
FREE_SPACE = "Free some space, for example: sudo journalctl --vacuum-size=50M"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for. `by_person`: install also outside this device's share. `downgrade`: also an older release."""

    url: str
    channel: str
    platform: Platform
    device_id: str
    by_person: bool = False
    downgrade: bool = False


def latest_time_s(places: UpdatePlaces, clock_s: float) -> float:
    """The latest time that is known for certain, s since 1970."""
    seen = last_check.read(places.last_check)
    state = guard_state.read(places.state)
    return max(clock_s, built_s(places, state.committed), seen.offer.signed_s if seen.offer else 0.0)


def check(places: UpdatePlaces, wanted: Wanted, fetcher: Fetcher, clock_s: float) -> LastCheck:
    """Find out what is offered, and note it. Raises UpdateError."""
    before = last_check.read(places.last_check)
    try:
        repository = open_repository(places, wanted, fetcher, clock_s)
        offer, _ = repository.offer(wanted.platform.target(wanted.channel))
        problem = why_not(places, offer, wanted)
        seen = LastCheck(
            checked_s=clock_s, offer=offer, for_this_device=problem is None, staged=before.staged,
            problem=str(problem) if problem and problem.code in FAULTS else "", code=problem.code if problem else "",
        )  # fmt: skip
    except UpdateError as error:
        _note(places, before, clock_s, error)
        raise
    last_check.write(places.last_check, seen)
    return seen


def note(places: UpdatePlaces, clock_s: float, error: UpdateError) -> None:
    """Note why the source was not even asked. Raises OSError."""
    places.last_check.parent.mkdir(parents=True, exist_ok=True)
    _note(places, last_check.read(places.last_check), clock_s, error)


def _note(places: UpdatePlaces, known: LastCheck, clock_s: float, error: UpdateError) -> None:
    """Note why nothing is installed, and what is known all the same. Raises OSError."""
    noted = LastCheck(
        checked_s=clock_s, offer=known.offer, staged=known.staged, problem=str(error), code=error.code
    )  # fmt: skip
    last_check.write(places.last_check, noted)


def fetch(places: UpdatePlaces, wanted: Wanted, fetcher: Fetcher, clock_s: float, say: Callable[[str], None]) -> Offer:
    """Fetch the offered release into the staging folder. Raises UpdateError; then nothing is left there."""
    sweep(places)
    seen = check(places, wanted, fetcher, clock_s)
    offer = seen.offer
    assert offer is not None  # or check has raised
    if problem := why_not(places, offer, wanted):
        raise problem
    repository = open_repository(places, wanted, fetcher, clock_s)
    try:
        _fetch_files(places, wanted, repository, say)
        export(_trusted(places, wanted), places.staging / "metadata")
    except BaseException as error:
        sweep(places)
        if isinstance(error, UpdateError):
            _note(places, LastCheck(offer=offer), clock_s, error)
        raise
    last_check.write(
        places.last_check, LastCheck(checked_s=clock_s, offer=offer, for_this_device=True, staged=offer.name)
    )
    return offer


def is_staged(places: UpdatePlaces, offer: Offer) -> bool:
    """Whether a release was fetched before, and root has not refused it since; root verifies it in any case."""
    if last_check.read(places.last_check).staged != offer.name:
        return False
    try:
        fetched_s = places.staging.stat().st_mtime
        return places.last_install.stat().st_mtime < fetched_s  # what root has refused before is another matter
    except FileNotFoundError:
        return places.staging.is_dir()


def _fetch_files(places: UpdatePlaces, wanted: Wanted, repository: Repository, say: Callable[[str], None]) -> None:
    targets = places.staging / "targets"
    targets.mkdir(parents=True)
    (places.staging / CHANNEL).write_text(wanted.channel, encoding="utf-8")
    _, found = repository.offer(wanted.platform.target(wanted.channel))
    listed = repository.listed(found, places.staging)
    wanting = missing(places, repository.files(listed))
    size = sum(target.length for target in wanting)
    require_space(places.staging, size)
    require_space(places.base, listed.unpacked_bytes)
    say(f"fetching {len(wanting)} of {len(listed.files)} files, {size / 1e6:.2f} MB")
    for target in [found, *wanting]:
        path = targets / stored_at(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        repository.fetch(target, path)


def open_repository(places: UpdatePlaces, wanted: Wanted, fetcher: Fetcher, clock_s: float) -> Repository:
    """Verify the repository. Raises UpdateError."""
    trusted = _trusted(places, wanted)
    if wanted.downgrade:
        shutil.rmtree(trusted, ignore_errors=True)  # what was seen before must not refuse what a person wants
    now_s = latest_time_s(places, clock_s)
    return Repository(wanted.url, trusted, places.root_key, fetcher, now_s)


def _trusted(places: UpdatePlaces, wanted: Wanted) -> Path:
    return places.work / ("trusted-once" if wanted.downgrade else "trusted")


def why_not(places: UpdatePlaces, offer: Offer, wanted: Wanted) -> UpdateError | None:
    """Why this device does not install an offered release; None: it may."""
    state = guard_state.read(places.state)
    if offer.name == state.committed:
        return UpdateError(f"{offer.version} is in use already", "update_absent")
    if state.on_trial:
        return UpdateError(f"{state.trying} is on trial. See: appliance update status", "update_busy")
    least = max(state.floor, number_of(places, state.committed))
    if offer.number < least and not wanted.downgrade:
        return UpdateError(
            f"{offer.version} is older than a release that was in use here. To install it all the same: "
            "--allow-downgrade",
            "update_old",
        )
    if wanted.by_person:
        return None
    if offer.name == state.undone:
        return UpdateError(
            f"{offer.version} was undone before: {state.why}. To try again: sudo appliance update install",
            "update_undone_before",
        )
    if not in_wave(wanted.device_id, offer):
        return UpdateError(f"{offer.version} is for {offer.share} % of the devices so far", "update_absent")
    return None


def missing(places: UpdatePlaces, needed: dict[str, TargetFile]) -> list[TargetFile]:
    """The files that no installed release has."""
    paths = needed_here(places, needed)
    return [needed[path] for path in paths if have(places, path, needed[path]) is None]


def have(places: UpdatePlaces, path: str, target: TargetFile) -> Path | None:
    """An intact copy of a file, of an installed release."""
    name = path.rpartition("/")[2]
    for copy in sorted(places.releases.glob(f"*/wheels/{name}")) if path.startswith("wheels/") else ():
        if copy.stat().st_size == target.length and files.sha256(copy) == sha256_of(target):
            return copy
    return None


def _not_needed(places: UpdatePlaces, path: str) -> bool:
    """Whether this file belongs to a model that is installed already."""
    parts = path.split("/")
    return len(parts) == 3 and parts[0] == "models" and (places.base / "models" / parts[1] / "manifest.json").exists()


def needed_here(places: UpdatePlaces, paths: Iterable[str]) -> list[str]:
    """Without the files of models that are installed."""
    return [path for path in paths if not _not_needed(places, path)]


def require_space(folder: Path, size: int) -> None:
    """Raises UpdateError if a folder's disk lacks this space."""
    while not folder.exists():
        folder = folder.parent
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if free < size + SPARE_BYTES:
        raise UpdateError(
            f"the update needs {(size + SPARE_BYTES) / 1e6:.0f} MB at {folder}; "
            f"{free / 1e6:.0f} MB are free. {FREE_SPACE}",
            "update_space",
        )


def sweep(places: UpdatePlaces) -> None:
    """Remove what an earlier attempt has left."""
    shutil.rmtree(places.staging, ignore_errors=True)
