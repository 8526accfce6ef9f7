"""The root file system of the boot tests: Debian's packages, and the appliance as it is installed on a device.

Debian's part is created once and kept in .cache/boot. The appliance is installed from scratch each time, from this
working tree and from the packages that its metadata requires, which are copied from the environment of the tests.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from packaging.requirements import Requirement

from appliance.workshop.debian_mirror import mirror

REPOSITORY = Path(__file__).parents[2]
CACHE = REPOSITORY / ".cache/boot"
RELEASE = Path("opt/appliance/releases/under-test")
MODEL = "yolo11n"

CONTAINER = ("systemd", "systemd-sysv", "dbus", "libnss-systemd", "python3", "libfaketime")
MACHINE = (*CONTAINER, "linux-image-cloud-amd64", "initramfs-tools", "udev", "iproute2")
_PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
_OUR_PYTHON = Path("opt/python")
_LEFT_OUT = ("doc", "man", "info", "locale", "lintian")


def why_not() -> str | None:
    """Why the root file system cannot be created on this machine; None: it can."""
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian":
        return f"the root file system needs Debian's packages, and this is {release.get('PRETTY_NAME')}"
    if _suite() not in _PYTHONS:
        return f"SUITE is {_suite()}; valid: {', '.join(_PYTHONS)}"
    return None


def build(into: Path, packages: Sequence[str] = CONTAINER, extras: Sequence[str] = ("systemd",)) -> Path:
    """Create a root file system in `into`, which is replaced, with the appliance and these extras installed."""
    base = debian(packages, _suite())
    shutil.rmtree(into, ignore_errors=True)
    # Hard links: the steps below never write to an existing file; they replace it.
    subprocess.run(["cp", "-al", base, into], check=True)
    _install_release(into, extras)
    model = into / "opt/appliance/models" / MODEL
    shutil.copytree(REPOSITORY / "models" / MODEL, model)
    subprocess.run(
        [REPOSITORY / "systemd/install.sh", into], check=True, capture_output=True, env=os.environ | {"LC_ALL": "C"}
    )
    return into


def debian(packages: Sequence[str], suite: str, foreign: str | None = None) -> Path:
    """A release of Debian with these packages, to copy from. It is created once, from this machine's own mirror.

    `foreign`: for another architecture; the packages are unpacked, not configured.
    """
    digest = hashlib.sha256(" ".join(sorted(packages)).encode()).hexdigest()[:8]
    kept = CACHE / "-".join(part for part in (suite, foreign, digest) if part)
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = CACHE / f"{kept.name}.unfinished"
        shutil.rmtree(fresh, ignore_errors=True)
        variant = [f"--architectures={foreign}", "--variant=extract"] if foreign else ["--variant=minbase"]
        options = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _LEFT_OUT]
        subprocess.run(
            ["mmdebstrap", *variant, "--quiet", f"--include={','.join(packages)}", *options,
             suite, str(fresh), *mirror(_own_suite())],
            check=True,
        )  # fmt: skip
        fresh.rename(kept)
    return kept


def _suite() -> str:
    """The release of Debian to boot: $SUITE, or this machine's own."""
    return os.environ.get("SUITE") or _own_suite()


def _own_suite() -> str:
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def _install_release(root: Path, extras: Sequence[str]) -> None:
    venv = root / RELEASE / "venv"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = venv / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    (venv / "bin").mkdir()
    python = _python(root)
    (venv / "bin/python").symlink_to(python)
    (venv / "pyvenv.cfg").write_text(f"home = {python.parent}\ninclude-system-site-packages = false\n")
    command = venv / "bin/appliance"
    command.write_text(
        f"#!/{RELEASE}/venv/bin/python\nimport sys\n\nfrom appliance.cli import main\n\nsys.exit(main())\n"
    )
    command.chmod(0o755)
    (root / "opt/appliance/current").symlink_to(Path("releases") / RELEASE.name)
    shutil.copytree(REPOSITORY / "appliance", packages / "appliance")
    shutil.copytree(REPOSITORY / "provisioning", root / RELEASE / "provisioning")
    for distribution in _needed("edge-detection-appliance", set(extras)):
        for file in distribution.files or ():
            source = Path(str(distribution.locate_file(file))).resolve()
            target = (packages / file).resolve()
            if packages in target.parents and source.is_file() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(source, target)


def _python(root: Path) -> Path:
    """The release's Python: Debian's, or if that is another version, the one that runs the tests."""
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    if _PYTHONS[_suite()] == ours:
        return Path("/usr/bin/python3")
    library = f"lib/python{ours}"
    into = root / _OUR_PYTHON
    (into / "bin").mkdir(parents=True)
    shutil.copy(Path(sys.base_prefix, "bin", f"python{ours}"), into / "bin/python3")
    for shared in Path(sys.base_prefix, "lib").glob(f"libpython{ours}.so.*"):
        shutil.copy(shared, root / "usr/lib")
    left_out = shutil.ignore_patterns("site-packages", "test", "__pycache__", "*.a")
    shutil.copytree(Path(sys.base_prefix, library), into / library, symlinks=True, ignore=left_out)
    return Path("/", _OUR_PYTHON, "bin/python3")


def _needed(name: str, extras: set[str]) -> Iterator[importlib.metadata.Distribution]:
    """All direct and indirect requirements of a distribution, without the extras for tests."""
    seen: set[str] = set()
    pending = [(name, frozenset(extras))]
    while pending:
        one, wanted = pending.pop()
        distribution = importlib.metadata.distribution(one)
        for line in distribution.requires or ():
            requirement = Requirement(line)
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in wanted or {""}):
                continue
            if requirement.name.lower() not in seen:
                seen.add(requirement.name.lower())
                pending.append((requirement.name, frozenset(requirement.extras)))
                yield importlib.metadata.distribution(requirement.name)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # the environment is on another file system
        shutil.copy2(source, target)
