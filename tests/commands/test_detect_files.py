"""Detection in picture files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from appliance.commands.detect_files import detect_files
from appliance.settings import loader
from appliance.values import Detected, Size
from appliance.vision import decode, scene
from tests.conftest import ROOT
from tests.models.bundles import make_bundles


def test_each_picture_runs_at_the_best_input_size(models_dir: Path, tmp_path: Path) -> None:
    """On a board with 1 GB too: nothing but memory limits these."""
    paths = []
    for size in (Size(640, 360), Size(640, 480)):
        paths.append(tmp_path / f"{size.height}.jpg")
        paths[-1].write_bytes(decode.encode_jpeg(scene.draw(size)[0], 90))
    settings = loader.load(flags={"model.dir": str(models_dir), "engine.any_size": "off"})
    files = [*[paths[0]] * 9, paths[1]]
    outcomes = [still.outcome for still in detect_files(settings, files)]
    found = [one.input_size for one in outcomes if isinstance(one, Detected)]
    assert found == [*[Size(640, 384)] * 9, Size(640, 480)]


def test_openvino_replaces_an_unusable_engine_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    make_bundles(tmp_path, "colours", keep_onnx=True)
    picture = tmp_path / "street.jpg"
    picture.write_bytes(decode.encode_jpeg(scene.draw(Size(640, 360))[0], 90))
    settings = loader.load(
        flags={"model.dir": str(tmp_path), "model.name": "colours", "engine.kind": "tensorrt", "engine.precision": ""}
    )
    (still,) = detect_files(settings, [picture])
    assert isinstance(still.outcome, Detected)
    assert "TensorRT" in caplog.text
    assert "using openvino instead" in caplog.text


def test_pictures_of_several_shapes_exit_with_code_0(models_dir: Path, tmp_path: Path) -> None:
    """The eighth picture of a shape starts a compilation, which may still run when the process exits."""
    paths = []
    for size in (Size(640, 360), Size(640, 480), Size(480, 640)):
        jpeg = decode.encode_jpeg(scene.draw(size)[0], 90)
        for number in range(8):
            paths.append(tmp_path / f"{number}-{size.width}x{size.height}.jpg")
            paths[-1].write_bytes(jpeg)
    command = [
        sys.executable,
        "-m",
        "appliance",
        "detect",
        "--set",
        f"model.dir={models_dir}",
        *map(str, sorted(paths)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("stop sign") == 24
