"""A repository that is verified with The Update Framework (TUF): nothing leaves here that the operator has not signed.

Rules of this file:
- The operator's root of trust is given at every start, so that damaged copies of later ones heal.
- What python-tuf has written is on the disk before it is relied on: it renames without waiting for the disk.
- The time is the latest of the clock, the newest signed time seen, and the build time of the release in use: a device
  without a clock starts in 1970, where nothing has ever expired.
"""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tuf.api import exceptions
from tuf.api.metadata import TargetFile
from tuf.ngclient import Updater

from appliance import files
from appliance.update.offer import FileList, Offer, read_list, read_offer
from appliance.update.places import UNREACHABLE, UpdateError
from appliance.update.sources import Fetcher

_MOST_ROOT_BYTES = 500_000
_EXPIRED = "the signatures have expired, and today is {today}: check the clock, or have the repository signed again"


class Repository:
    """A verified repository. `url`: with `metadata/` and `targets/` below it. `trusted`: what was verified before."""

    def __init__(self, url: str, trusted: Path, root_key: Path, fetcher: Fetcher, now_s: float) -> None:
        self._now_s = now_s
        trusted.mkdir(parents=True, exist_ok=True)
        with self._refusals():
            self._updater = Updater(
                metadata_dir=str(trusted),
                metadata_base_url=f"{url.rstrip('/')}/metadata/",
                target_base_url=f"{url.rstrip('/')}/targets/",
                fetcher=fetcher,
                bootstrap=read_root(root_key),
            )
            # No public way exists to give the time.
            self._updater._trusted_set.reference_time = datetime.datetime.fromtimestamp(now_s, datetime.timezone.utc)
            self._updater.refresh()
            files.settle(*(path for path in trusted.rglob("*") if path.is_file()), trusted)

    def offer(self, target: str) -> tuple[Offer, TargetFile]:
        """The release that is offered under this path. Raises UpdateError."""
        found = self._target(target)
        return read_offer(found.custom), found

    def listed(self, found: TargetFile, folder: Path) -> FileList:
        """The files of an offered release; the list itself is kept in `folder`. Raises UpdateError."""
        path = folder / "list.json"
        self.fetch(found, path)
        return read_list(path.read_bytes())

    def files(self, listed: FileList) -> dict[str, TargetFile]:
        """The target of each file of a release, by its path in the bundle. Raises UpdateError."""
        return {one.path: self._target(one.target) for one in listed.files}

    def fetch(self, target: TargetFile, path: Path) -> None:
        """Fetch a file, verify it, and leave it at `path`; nothing is there otherwise. Raises UpdateError."""
        try:
            with self._refusals():
                self._updater.download_target(target, str(path))
        except UpdateError:
            path.unlink(missing_ok=True)
            raise

    def _target(self, path: str) -> TargetFile:
        with self._refusals():
            found = self._updater.get_targetinfo(path)
        if found is None:
            raise UpdateError(f"the repository has no {path}", "update_absent")
        return found

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except exceptions.ExpiredMetadataError:
            today = datetime.datetime.fromtimestamp(self._now_s, datetime.timezone.utc).date()
            raise UpdateError(_EXPIRED.format(today=today), "update_expired") from None
        except exceptions.BadVersionNumberError:
            raise UpdateError("this repository is older than one that was seen before", "update_old") from None
        except (exceptions.UnsignedMetadataError, exceptions.LengthOrHashMismatchError) as error:
            why = "is not signed with the operator's keys, or is damaged"
            raise UpdateError(f"the repository {why} ({error})", "update_refused") from None
        except exceptions.DownloadLengthMismatchError as error:
            raise UpdateError(str(error), "update_refused") from None
        except exceptions.DownloadHTTPError as error:
            raise UpdateError(f"the repository is incomplete: {error}", UNREACHABLE) from None
        except exceptions.DownloadError as error:
            raise UpdateError(f"the repository cannot be read: {error}", UNREACHABLE) from None
        except exceptions.RepositoryError as error:
            raise UpdateError(f"the repository's metadata is invalid: {error}", "update_refused") from None
        except OSError as error:
            raise UpdateError(f"{error.filename or 'the disk'}: {error.strerror}", "update_failed") from None


def read_root(path: Path) -> bytes:
    """The operator's root of trust. Raises UpdateError."""
    try:
        return files.read_plain(path, _MOST_ROOT_BYTES)
    except FileNotFoundError:
        raise UpdateError(
            f"{path} is missing, so no update can be verified. Copy the operator's root.json there", "update_no_root"
        ) from None
    except OSError as error:
        raise UpdateError(
            f"{path} cannot be read ({error.strerror}), so no update can be verified. It is not secret: "
            f"sudo chmod 644 {path}",
            "update_failed",
        ) from None


def export(trusted: Path, into: Path) -> None:
    """Write verified metadata as a repository's folder `metadata`, for the next one who verifies it."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    for path in (trusted / "root_history").glob("*.root.json"):
        shutil.copyfile(path, into / path.name)
    for role in ("timestamp", "snapshot", "targets"):
        data = (trusted / f"{role}.json").read_bytes()
        prefix = "" if role == "timestamp" else f"{version_of(json.loads(data))}."
        (into / f"{prefix}{role}.json").write_bytes(data)


def version_of(metadata: dict[str, Any]) -> int:
    return int(metadata["signed"]["version"])


def stored_at(target: TargetFile) -> str:
    """Where a repository keeps a target: under its hash, so that two versions are never mixed."""
    folder, _, name = target.path.rpartition("/")
    return f"{folder}/{target.hashes['sha256']}.{name}".lstrip("/")


def sha256_of(target: TargetFile) -> str:
    return str(target.hashes["sha256"])
