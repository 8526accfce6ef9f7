"""The parts of Picamera2's source that run without libcamera. The package only imports on a Raspberry Pi.

The bodies of `create_preview_configuration` and of the checks that `configure` makes are taken from the real file and
run, and so is its encoder (picamera2_encoders.py); every other call that we make is bound to the real signature.
"""

from __future__ import annotations

import ast
import functools
import inspect
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.camera.sources.picamera2_encoders import real_encoders
from tests.conftest import ROOT

VERSION = "0.3.38"
_KEPT = ROOT / ".cache" / "picamera2"
_RUN = {
    "create_preview_configuration", "_make_initial_stream_config", "align_stream", "_add_display_and_encode",
    "check_camera_config", "check_stream_config", "_is_rpi_camera", "_raw_stream_ignore_list",
}  # fmt: skip


def fetch() -> Path:
    """The unpacked source distribution; skips the test with the reason if it is unavailable."""
    folder = _KEPT / f"picamera2-{VERSION}" / "picamera2"
    if not folder.exists():
        command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps",
                   "--no-binary", "picamera2", "--dest", str(_KEPT), f"picamera2=={VERSION}"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        if done.returncode:
            pytest.skip(f"Picamera2's source cannot be fetched here: {done.stderr.strip()[-300:]}")
        with tarfile.open(_KEPT / f"picamera2-{VERSION}.tar.gz") as archive:
            archive.extractall(_KEPT, filter="data")
    return folder


def class_in(path: Path, name: str) -> ast.ClassDef:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)


@functools.lru_cache
def signature(path: Path, class_name: str, method: str) -> inspect.Signature:
    """The signature of a method in the real source, without `self`; the last definition, after any overloads."""
    found = [
        node for node in class_in(path, class_name).body if isinstance(node, ast.FunctionDef) and node.name == method
    ]
    assert found, f"{class_name} has no {method} in Picamera2 {VERSION}"
    function = found[-1]
    function.decorator_list, function.body, function.returns = [], [ast.Pass()], None
    for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs):
        argument.annotation = None
    function.args.defaults = [ast.Constant(None) for _ in function.args.defaults]
    space: dict[str, Any] = {}
    exec(compile(ast.fix_missing_locations(ast.Module([function], [])), str(path), "exec"), space)
    parameters = list(inspect.signature(space[method]).parameters.values())
    return inspect.Signature(parameters[1:])


def real_configuration(path: Path) -> type[Any]:
    """A class with the real methods that create and check a configuration, with a stub of libcamera."""
    whole = class_in(path, "Picamera2")
    whole.body = [
        node for node in whole.body
        if (isinstance(node, ast.FunctionDef) and node.name in _RUN)
        or (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in _RUN)
    ]  # fmt: skip
    for node in whole.body:
        if isinstance(node, ast.FunctionDef):
            node.returns = None
    sycc, transform = type("ColorSpace", (), {"Sycc": classmethod(lambda kind: kind())}), type("Transform", (), {})
    noise = SimpleNamespace(NoiseReductionModeEnum=SimpleNamespace(Minimal=1))
    libcamera = SimpleNamespace(
        ColorSpace=sycc, Transform=transform, controls=SimpleNamespace(draft=noise),
        _libcamera=SimpleNamespace(ColorSpace=sycc, Transform=transform),
    )  # fmt: skip
    space: dict[str, Any] = {
        "libcamera": libcamera,
        "SensorFormat": type("SensorFormat", (), {}),
        "formats": SimpleNamespace(
            is_YUV=lambda form: form == "YUV420", is_RGB=lambda _: False, is_raw=lambda _: False
        ),
        "Platform": SimpleNamespace(Platform=SimpleNamespace(VC4=0)),
    }
    exec(compile(ast.fix_missing_locations(ast.Module([whole], [])), str(path), "exec"), space)
    made: type[Any] = space["Picamera2"]
    return made


class Board:
    """The package for `PicameraSource`, based on the real source. `calls`: the names of the called methods."""

    def __init__(self, folder: Path, *, hardware: bool) -> None:
        self.calls: list[str] = []
        self.held = 0
        board, camera = self, real_configuration(folder / "picamera2.py")

        def bound(path: str, kind: str, name: str, act: Any) -> Callable[..., Any]:
            real = signature(folder / path, kind, name)

            def call(_: Any, *arguments: Any, **named: Any) -> Any:
                real.bind(*arguments, **named)
                board.calls.append(name)
                return act(*arguments, **named)

            return call

        def configure(config: Any) -> None:
            board.camera.check_camera_config(config)
            board.config = config

        def capture_request(wait: Any = None) -> Any:
            if board.silent:
                raise TimeoutError
            board.held += 1
            return request()

        def acquire() -> None:
            board.held += 1

        def release() -> None:
            board.held -= 1

        def array(name: str) -> Any:
            width, height = board.config[name]["size"]
            return np.full((height * 3 // 2, width + 64), 128, np.uint8)

        request = type("CompletedRequest", (), {
            "acquire": bound("request.py", "CompletedRequest", "acquire", acquire),
            "release": bound("request.py", "CompletedRequest", "release", release),
            "make_array": bound("request.py", "CompletedRequest", "make_array", array),
            "get_metadata": bound("request.py", "CompletedRequest", "get_metadata",
                                  lambda: {"SensorTimestamp": 42_000_000_000}),
        })  # fmt: skip
        main = "picamera2.py"
        methods = {
            "configure": configure, "capture_request": capture_request, "start": lambda: None, "stop": lambda: None,
            "close": lambda: None, "cancel_all_and_flush": lambda: None,
            "camera_configuration": lambda: {"main": board.config["main"] | {"stride": 704}},
        }  # fmt: skip
        for name, act in methods.items():
            setattr(camera, name, bound(main, "Picamera2", name, act))
        opened = signature(folder / main, "Picamera2", "__init__")
        attributes = {
            "camera": object(), "platform": 1, "camera_properties": {"ColorFilterArrangement": 0},
            "camera_controls": {"NoiseReductionMode": 0, "FrameDurationLimits": 0}, "sensor_format": "SRGGB10",
            "sensor_resolution": (4608, 2592),
        }  # fmt: skip
        for name, value in attributes.items():
            setattr(camera, name, value)
        camera.sensor_modes = MODES

        def make(*arguments: Any) -> Any:
            opened.bind(*arguments)
            board.camera = camera()
            return board.camera

        self.camera: Any = None
        self.config: Any = None
        self.silent = False
        self.Picamera2 = make
        self.Platform = SimpleNamespace(VC4="vc4", PISP="pisp")
        self.get_platform = lambda: "vc4" if hardware else "pisp"
        encoders = real_encoders(folder)
        self.outputs = SimpleNamespace(Output=encoders.Output)
        self.encoders = SimpleNamespace(MJPEGEncoder=self._make_encoder, Quality=encoders.Quality)
        self._encoder_kind = encoders.MJPEGEncoder
        self.encoder: Any = None

    def _make_encoder(self) -> Any:
        self.encoder = self._encoder_kind()
        return self.encoder


MODES = (
    {"size": (1536, 864), "bit_depth": 10, "fps": 120.0, "crop_limits": (768, 432, 3072, 1728)},
    {"size": (2304, 1296), "bit_depth": 10, "fps": 56.0, "crop_limits": (0, 0, 4608, 2592)},
    {"size": (4608, 2592), "bit_depth": 10, "fps": 14.0, "crop_limits": (0, 0, 4608, 2592)},
)
"""The `sensor_modes` of the Camera Module 3. The smallest one crops a third of the field of view."""
