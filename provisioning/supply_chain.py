"""What the device is made of: lock file, software bill of materials, known vulnerabilities, licences.

Run as `make lock`, `make sbom [BUNDLE=FILE | IMAGE=FILE.img]`, `make audit` and `make licences`. The tools
(uv, cyclonedx-py, pip-audit) run in an environment of their own, .cache/tools, since nothing on a device needs them.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import image_packages

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "provisioning/requirements.lock"
TOOLS = ROOT / ".cache/tools/bin"
LICENCES = ROOT / "docs/licences.md"
SBOM = ROOT / "build/sbom.cdx.json"
EXTRAS = ("installer", "mdns", "camera", "site", "onnx", "mnn", "kserve", "tensorrt")
"""What a device may have installed. `systemd-python` comes from Debian, `picamera2` from Raspberry Pi OS."""
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)
_SHOWN = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("lock", "sbom", "audit", "licences"))
    parser.add_argument("--bundle", type=Path, help="for sbom: a bundle instead of the lock file")
    parser.add_argument("--image", type=Path, help="for sbom: a disk image (.img), with Debian's packages")
    parser.add_argument("--out", type=Path, default=SBOM, help="for sbom (default: %(default)s)")
    parser.add_argument("--upgrade", action="store_true", help="for lock: take the newest versions that are allowed")
    options = parser.parse_args()
    if options.what == "lock":
        return lock(upgrade=options.upgrade)
    if options.what == "sbom":
        return sbom(options.bundle, options.image, options.out)
    return audit() if options.what == "audit" else write_licences()


def lock(*, upgrade: bool) -> int:
    """Resolve for every Python and architecture at once, with the hashes of all files."""
    extras = [f"--extra={extra}" for extra in EXTRAS]
    options = ["--universal", "--generate-hashes", "--python-version=3.10", "--no-header", "--no-annotate"]
    options += ["--no-emit-index-url", "--quiet", *(["--upgrade"] if upgrade else [])]
    command = ["uv", "pip", "compile", *options, *extras, str(ROOT / "pyproject.toml"), "--output-file", str(LOCK)]
    status = run(command).returncode
    print(f"{LOCK.relative_to(ROOT)}: {len(pinned(LOCK.read_text()))} packages")
    return status


def sbom(bundle: Path | None, image: Path | None, out: Path) -> int:
    """Write a CycloneDX bill of materials of a bundle, of an image, or of everything in the lock file."""
    if not (TOOLS / "cyclonedx-py").exists():
        print(
            "NO BILL OF MATERIALS: cyclonedx-py is missing. Install it with: make .cache/tools/.installed",
            file=sys.stderr,
        )
        return 1
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        contents = image_packages.contents(image) if image is not None else None
    except image_packages.NoImage as error:
        print(f"NO BILL OF MATERIALS: {error}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        requirements = LOCK
        if contents is not None or bundle is not None:
            requirements = Path(folder, "requirements.txt")
            requirements.write_text("\n".join(contents.wheels) if contents else _requirements_of(bundle or Path()))
        command = ["cyclonedx-py", "requirements", str(requirements), "--pyproject", str(ROOT / "pyproject.toml")]
        done = run([*command, "--output-format=JSON", "--output-reproducible", "--output-file", str(out)])
    if done.returncode:
        return done.returncode
    made = json.loads(out.read_text())
    if contents is not None:
        made["components"] += [one.component(contents.distribution) for one in contents.debian]
        out.write_text(json.dumps(made, indent=2) + "\n")
    if run(["python", "-c", _VALIDATE, str(out)]).returncode:
        return 1
    print(f"{out}: CycloneDX, {len(made['components'])} components of {image or bundle or LOCK.relative_to(ROOT)}")
    return 0


_VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
text = open(sys.argv[1]).read()
version = text.split('"specVersion": "')[1].split('"')[0]
sys.exit(str(JsonStrictValidator(SchemaVersion.from_version(version)).validate_str(text) or "") or 0)
"""
"""Run by the tool's own Python."""


def _requirements_of(bundle: Path) -> str:
    with tarfile.open(bundle) as archive:
        names = [name for name in archive.getnames() if re.fullmatch(r"requirements(-\w+)?\.txt", name)]
        files = [archive.extractfile(name) for name in names]
        return "".join(file.read().decode() for file in files if file is not None)


def audit() -> int:
    """Compare the lock file with the database of known vulnerabilities. Exit code 3: it cannot be reached."""
    command = ["pip-audit", "--disable-pip", "--require-hashes", "--progress-spinner=off", "--format=json"]
    done = run([*command, "-r", str(LOCK)], capture=True)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = done.stderr.strip().splitlines()[-1:] or ["no answer"]
        print(f"NOT AUDITED: the database cannot be reached: {reason[0][:200]}", file=sys.stderr)
        return 3
    skipped = [one["name"] for one in found if "skip_reason" in one]
    for one in found:
        for flaw in one.get("vulns", ()):
            fixed = ", ".join(flaw["fix_versions"]) or "no version yet"
            print(f"{one['name']} {one['version']}: {flaw['id']}, fixed in {fixed}")
    if skipped:
        print(f"NOT AUDITED: {len(skipped)} of {len(found)} packages, because the database does not answer for them "
              f"({', '.join(skipped[:_SHOWN])}{' …' if len(skipped) > _SHOWN else ''})", file=sys.stderr)  # fmt: skip
        return 3
    flawed = sum(bool(one.get("vulns")) for one in found)
    print(f"{len(found)} packages, {flawed} with known vulnerabilities")
    return 1 if flawed else 0


def write_licences() -> int:
    """Write docs/licences.md from the metadata of the installed packages."""
    rows, missing = [], []
    for name in sorted(pinned(LOCK.read_text())):
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
            continue
        rows.append(f"| {name} | {licence_of(found)} |")
    LICENCES.write_text(
        _PAGE.format(rows="\n".join(rows), missing=", ".join(f"`{name}`" for name in missing) or "none")
    )
    print(f"{LICENCES.relative_to(ROOT)}: {len(rows)} packages, {len(missing)} not installed here")
    return 0


_PAGE = """# Licences

The appliance itself is licensed under Apache-2.0. `make licences` writes this page from the metadata of the packages in
`provisioning/requirements.lock`, as installed in the environment that runs it.

| package | licence |
|---|---|
{rows}

Not installed where this page was made, and only needed on other systems: {missing}.

Not Python packages: the weights of the default model YOLO11n are Ultralytics', AGPL-3.0; a device that ships with them
must offer their source. Debian's packages carry their licences in `/usr/share/doc/*/copyright`.
"""


def licence_of(found: importlib.metadata.Distribution) -> str:
    """The licence in one line: the SPDX expression if there is one, else the classifiers, else the short text."""
    metadata = found.metadata
    expression = metadata.get("License-Expression")
    if expression:
        return str(expression)
    classifiers = [line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier") or () if "License" in line]
    if classifiers:
        return ", ".join(classifiers)
    return str(metadata.get("License") or "see its files").strip().splitlines()[0][:80]


def pinned(text: str) -> dict[str, set[str]]:
    """The versions of each package in a file of requirements."""
    found: dict[str, set[str]] = {}
    for name, version in _PINNED.findall(text):
        found.setdefault(name.lower(), set()).add(version)
    return found


def run(command: Sequence[str], *, capture: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a tool of .cache/tools."""
    pipe = subprocess.PIPE if capture else None
    return subprocess.run([str(TOOLS / command[0]), *command[1:]], text=True, stdout=pipe, stderr=pipe, cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main())
