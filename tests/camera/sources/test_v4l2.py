"""A webcam for FFmpeg: a preloaded library imitates the V4L2 calls of the kernel."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from appliance.values import Size
from appliance.vision import scene
from appliance.vision.decode import encode_jpeg
from tests.conftest import ROOT

PROGRAM = """
import hashlib, json, sys, time
from appliance.camera.sources import live, pyav
from tests.camera.films import limits, picture_of

path, sides = sys.argv[1], [int(side) for side in sys.argv[2:]]
source = live.LiveSource(lambda asked: pyav.webcam(path, asked), lambda asked: pyav.webcam(path, asked, form=None),
                         sized=True, reopen_after_s=0.01)
shown = []
for side in sides:
    capture = None
    while capture is None or (len(sides) > 1 and shown and picture_of(capture.picture).size.width < side):
        capture = source.take(limits(side))
    size = picture_of(capture.picture).size
    digest, age_s = hashlib.sha256(capture.picture).hexdigest(), time.monotonic() - capture.taken_s
    shown.append([size.width, size.height, digest, age_s])
source.close()
print(json.dumps(shown))
"""


AFTERWARDS = """
import sys
from appliance.camera.sources import pyav
from tests.camera.films import limits, picture_of

container = pyav.open_container(pyav.webcam(sys.argv[1], limits(), form=None))
frame = next(pyav.read_frames(container))
container.close()
print(picture_of(frame.to_jpeg(limits())).size.width)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc not found, which compiles the fake webcam")
    built = tmp_path_factory.mktemp("v4l2") / "fake_v4l2.so"
    source = str(Path(__file__).with_name("fake_v4l2.c"))
    done = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(built), source, "-ldl"], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"the fake webcam does not compile: {done.stderr[-300:]}")
    return built


def webcam(library: Path, folder: Path, *sides: int, **environment: str) -> tuple[list[Any], list[str]]:
    """The pictures of a source for these limits in turn, and the modes that it set on the webcam."""
    out = run_with_webcam(library, folder, PROGRAM, *map(str, sides), **environment)
    return json.loads(out), (folder / "log").read_text().splitlines()


def run_with_webcam(library: Path, folder: Path, program: str, *arguments: str, **environment: str) -> str:
    """Run a program with the path of the webcam; return its output."""
    (folder / "video0").touch()
    (folder / "shown.jpg").write_bytes(encode_jpeg(scene.draw(Size(640, 360))[0], 80))
    names = {"VIDEO": "video0", "JPEG": "shown.jpg", "LOG": "log"}
    own = {"LD_PRELOAD": str(library)} | {f"FAKE_{key}": str(folder / name) for key, name in names.items()}
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder / "video0"), *arguments],
        capture_output=True, text=True, timeout=60, cwd=ROOT, env=os.environ | own | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_jpegs_in_the_requested_size_are_unchanged(library: Path, tmp_path: Path) -> None:
    (shown,), modes = webcam(library, tmp_path, 640)
    assert shown[:2] == [640, 360]
    assert shown[2] == hashlib.sha256((tmp_path / "shown.jpg").read_bytes()).hexdigest()
    assert 0.5 <= shown[3] < 2.0  # from the driver's time stamp
    assert "MJPG 640x360" in modes


def test_raw_frames_are_encoded_as_jpeg(library: Path, tmp_path: Path) -> None:
    (shown,), modes = webcam(library, tmp_path, 320, FAKE_RAW="1")
    assert shown[:2] == [320, 180]
    assert "MJPG 320x180" in modes  # tried first


def test_a_webcam_switches_to_a_larger_mode(library: Path, tmp_path: Path) -> None:
    shown, modes = webcam(library, tmp_path, 320, 640, FAKE_RAW="1")
    assert [one[:2] for one in shown] == [[320, 180], [640, 360]]
    assert any(line.endswith("320x180") for line in modes)
    assert any(line.endswith("640x360") for line in modes)


def test_a_raw_frame_outlives_the_open_webcam(library: Path, tmp_path: Path) -> None:
    """FFmpeg returns frames in the driver's memory, which is unmapped when the device is closed."""
    assert run_with_webcam(library, tmp_path, AFTERWARDS, FAKE_RAW="1") == "640\n"
