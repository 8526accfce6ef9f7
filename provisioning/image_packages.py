"""What a disk image is made of, read from the image itself: Debian's packages and the wheels of its release.

It needs no root and mounts nothing: sfdisk finds the first system, debugfs reads its files.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512
STATUS = "/var/lib/dpkg/status"
RELEASES = "/opt/appliance/releases"


class NoImage(Exception):
    """The file is no image that `make image` has made; the text says why."""


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """One installed package."""

    name: str
    version: str
    architecture: str

    def component(self, distribution: str) -> dict[str, str]:
        """The package as a component of CycloneDX. A package URL writes `:` and `+` in versions as they are allowed."""
        purl = f"pkg:deb/debian/{self.name}@{self.version.replace(':', '%3A').replace('+', '%2B')}"
        purl += f"?arch={self.architecture}&distro={distribution}"
        return {"type": "library", "name": self.name, "version": self.version, "purl": purl, "bom-ref": purl}


@dataclass(frozen=True, slots=True)
class Contents:
    """What an image contains."""

    distribution: str
    debian: list[DebianPackage]
    wheels: list[str]
    """Each as NAME==VERSION."""


def contents(image: Path) -> Contents:
    """Read an image. Raises NoImage."""
    system = f"{image}?offset={_offset_of_first_system(image)}"
    status = _debugfs(system, f"cat {STATUS}")
    packages = installed(status)
    if not packages:
        raise NoImage(f"{image} has no {STATUS}: give the .img file that `make image` has made, not compressed")
    release = re.search(r'^VERSION_ID="?([\w.]+)', _debugfs(system, "cat /usr/lib/os-release"), re.MULTILINE)
    wheels = [one for name in _names(system, RELEASES) for one in _names(system, f"{RELEASES}/{name}/wheels")]
    pinned = sorted({"==".join(one.split("-")[:2]) for one in wheels if one.endswith(".whl")})
    if not pinned:
        raise NoImage(f"{image} has no wheels in {RELEASES}")
    return Contents(f"debian-{release[1]}" if release else "debian", packages, pinned)


def installed(status: str) -> list[DebianPackage]:
    """The installed packages of dpkg's status file."""
    found = []
    for paragraph in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if re.match(r"[\w-]+: ", line))
        if fields.get("Status", "").endswith(" installed"):
            found.append(DebianPackage(fields["Package"], fields["Version"], fields["Architecture"]))
    return sorted(found, key=lambda one: one.name)


def _offset_of_first_system(image: Path) -> int:
    try:
        done = subprocess.run(["sfdisk", "--json", str(image)], capture_output=True, text=True, check=True)
        table = json.loads(done.stdout)["partitiontable"]["partitions"]
        return next(int(one["start"]) * SECTOR for one in table if one.get("name") == "root-a")
    except FileNotFoundError:
        raise NoImage("sfdisk is missing: apt install fdisk") from None
    except (subprocess.CalledProcessError, ValueError, KeyError, StopIteration):
        raise NoImage(f"{image} has no partition root-a: give the .img file that `make image` has made") from None


def _debugfs(system: str, request: str) -> str:
    try:
        done = subprocess.run(["debugfs", "-R", request, system], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise NoImage("debugfs is missing: apt install e2fsprogs") from None
    except subprocess.CalledProcessError as error:
        raise NoImage(f"debugfs cannot read {system}: {error.stderr.strip()[-200:]}") from None
    return done.stdout


def _names(system: str, folder: str) -> list[str]:
    """The files of a folder: each line of `ls -p` is /INODE/MODE/UID/GID/NAME/SIZE/."""
    lines = (line.split("/") for line in _debugfs(system, f"ls -p {folder}").splitlines())
    return [line[5] for line in lines if len(line) > 6 and line[5] not in (".", "..")]
