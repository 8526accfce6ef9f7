#!/usr/bin/env python3
"""Wrap a bundle into a Debian package, for sites that run an apt repository: `make deb`.

The package holds the bundle and installs it with install.sh, so a device that was made with apt is like any other. `apt
remove` keeps settings, secrets, models and state; `apt purge` removes everything.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAME = "edge-detection-appliance"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
SHARE = f"usr/share/{NAME}"

CONTROL = """\
Package: {name}
Version: {version}
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {kilobytes}
Depends: python3 (>= {python}), python3 (<< {next_python}~), python3-systemd, libgomp1, ca-certificates
Section: video
Priority: optional
Description: edge-detection appliance
 Cameras push frames over Socket.IO, and the device answers with what it sees.
 The service is installed below /opt/appliance from the bundle in this package.
"""
POSTINST = f"""\
#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
exec /{SHARE}/provisioning/install.sh --bundle /{SHARE}/bundle.tar --no-tune
"""
PRERM = f"""\
#!/bin/sh
set -e
[ "$1" = remove ] || exit 0
exec /{SHARE}/provisioning/uninstall.sh --keep-state
"""
POSTRM = """\
#!/bin/bash
[ "$1" = purge ] || exit 0
set --
# provisioning/uninstall.sh, since the package's files are gone by now:
"""


class CannotWrap(Exception):
    """This bundle cannot become a package; the text says why."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path, help="what `make bundle` has made")
    parser.add_argument("--version", help="of the package (default: that of the bundle); apt installs the highest")
    parser.add_argument("--maintainer", default="nobody <nobody@invalid>", help="NAME <ADDRESS> of who answers for it")
    parser.add_argument("--out", type=Path, default=HERE.parent / ".cache/deb")
    options = parser.parse_args()
    if shutil.which("dpkg-deb") is None:
        print("deb: dpkg-deb is missing: apt-get install dpkg", file=sys.stderr)
        return 1
    try:
        path = wrap(options.bundle, options.version, options.maintainer, options.out)
    except CannotWrap as error:
        print(f"deb: {error}", file=sys.stderr)
        return 1
    print(f"{path}  {path.stat().st_size / 1e6:.0f} MB")
    print(f"on the device: sudo apt-get install ./{path.name}")
    return 0


def wrap(bundle: Path, version: str | None, maintainer: str, out: Path) -> Path:
    """Write the package to the folder `out`; returns its path. Raises CannotWrap."""
    facts = read_facts(bundle)
    version = version or facts["version"]
    if not re.fullmatch(r"[0-9][A-Za-z0-9.+~-]*", version):
        raise CannotWrap(f"{version} is no version of a Debian package: it starts with a digit and has no blanks")
    architecture, python = MACHINES[facts["architecture"]], facts["python"]
    major, minor = python.split(".")
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{NAME}_{version}_{architecture}.deb"
    with tempfile.TemporaryDirectory(dir=out) as work:
        root = Path(work, "root")
        share, debian = root / SHARE, root / "DEBIAN"
        share.mkdir(parents=True)
        debian.mkdir()
        for folder in root.rglob("*"):
            folder.chmod(0o755)
        shutil.copyfile(bundle, share / "bundle.tar")
        shutil.copytree(HERE, share / "provisioning", ignore=shutil.ignore_patterns("__pycache__", "image"))
        control = CONTROL.format(
            name=NAME, version=version, architecture=architecture, maintainer=maintainer, python=python,
            kilobytes=bundle.stat().st_size // 1024, next_python=f"{major}.{int(minor) + 1}",
        )  # fmt: skip
        (debian / "control").write_text(control, encoding="utf-8")
        uninstall = (HERE / "uninstall.sh").read_text(encoding="utf-8").partition("\n")[2]
        for name, text in (("postinst", POSTINST), ("prerm", PRERM), ("postrm", POSTRM + uninstall)):
            (debian / name).write_text(text, encoding="utf-8")
            (debian / name).chmod(0o755)
        command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(root), str(path)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return path


def read_facts(bundle: Path) -> dict[str, str]:
    """`version`, `architecture` and `python` of a bundle. Raises CannotWrap."""
    try:
        with tarfile.open(bundle) as archive:
            file = archive.extractfile("BUNDLE")
            text = file.read(10_000).decode() if file is not None else ""
    except (OSError, tarfile.TarError, KeyError, UnicodeDecodeError) as error:
        raise CannotWrap(f"{bundle} is not a bundle: {error}") from None
    facts = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if missing := {"version", "architecture", "python"} - facts.keys() or facts["architecture"] not in MACHINES:
        raise CannotWrap(f"{bundle} is not a bundle: {missing or facts['architecture']}")
    return facts


if __name__ == "__main__":
    sys.exit(main())
