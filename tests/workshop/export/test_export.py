"""Exporting weights and verifying the export; a fake writes what Ultralytics would write."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from appliance import cli
from appliance.errors import ModelError
from appliance.models import bundle as bundles
from appliance.models import store
from appliance.settings import loader
from appliance.values import Box, Detection, Size
from appliance.workshop.environment import is_ready, variables
from appliance.workshop.export import ultralytics_process
from appliance.workshop.export.export import RunUltralytics, export
from appliance.workshop.export.ultralytics_process import ENVIRONMENT, Exported
from appliance.workshop.quantize import nncf_process
from tests.engines.nvidia.environment import environment
from tests.engines.nvidia.jetson import Jetson
from tests.models import networks
from tests.workshop.fakes import python_that


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "gate.pt"
    path.write_bytes(b"weights")
    return path


def ultralytics(found: Callable[[Path], list[Detection]], onnx: bytes | None = None) -> RunUltralytics:
    """A fake that exports the network of the colours and returns the detections `found` for each picture."""

    def run(weights: str, pictures: Sequence[Path], scratch: Path) -> Exported:
        (scratch / "gate.onnx").write_bytes(networks.colours() if onnx is None else onnx)
        return Exported(scratch / "gate.onnx", [found(path) for path in pictures], {"ultralytics": "8.4.190"})

    return run


def expected_detections(path: Path) -> list[Detection]:
    """What the network of the colours detects in the drawn scene or a plain picture, computed without it."""
    picture = Image.open(path)
    means = np.asarray(picture.convert("RGB"), np.float32).reshape(-1, 3).mean(axis=0) / 255
    if picture.height == 720:  # placed in 640x384 with a border of 12 px above; each colour is the strongest somewhere
        box, best = Box(76, 40, 116, 72), range(3)
    else:
        box, best = Box(38, 32, 58, 48), range(int(means.argmax()), int(means.argmax()) + 1)
    return [Detection(networks.CLASSES[number], number, float(means[number]), box) for number in best]


def make(models_dir: Path, weights: Path, run: RunUltralytics, **options: object) -> tuple[bundles.Bundle, list[str]]:
    lines: list[str] = []
    settings = loader.load(flags={"model.dir": str(models_dir)})
    given = {"name": "gate", "pictures": None, "onnx": False, "force": False} | options
    return export(settings, str(weights), run=run, report=lines.append, **given), lines  # type: ignore[arg-type]


def rejected(models_dir: Path, weights: Path, run: RunUltralytics, **options: object) -> ModelError:
    """The error, which leaves no files behind."""
    before = store.names(models_dir)
    with pytest.raises(ModelError) as caught:
        make(models_dir, weights, run, **options)
    assert store.names(models_dir) == before
    assert not models_dir.is_dir() or not list(models_dir.glob(".*"))
    return caught.value


def test_the_bundle_records_its_origin_and_agreement(models_dir: Path, weights: Path) -> None:
    made, lines = make(models_dir, weights, ultralytics(expected_detections))
    assert made == bundles.read(models_dir / "gate")
    assert made.agreement == bundles.Agreement("gate.pt in Ultralytics 8.4.190", 100.0, 1)
    assert (made.source, made.head, made.license) == ("gate.pt", "anchors", "AGPL-3.0")
    assert {"ultralytics", "openvino"} == set(made.tools)
    assert set(made.files) == {"model.xml", "model.bin"}
    assert lines == ["  100.0 % of the boxes agree with gate.pt in Ultralytics 8.4.190 (1 picture)"]


def test_an_export_does_not_replace_what_another_command_made_meanwhile(models_dir: Path, weights: Path) -> None:
    usual = ultralytics(expected_detections)

    def run(given: str, pictures: Sequence[Path], scratch: Path) -> Exported:
        make(models_dir, weights, usual, onnx=True)
        return usual(given, pictures, scratch)

    with pytest.raises(ModelError, match="gate: already exists: another command") as caught:
        make(models_dir, weights, run)
    assert caught.value.code == "export_failed"
    assert "model.onnx" in bundles.read(models_dir / "gate").files


def test_the_onnx_file_is_stored_on_request(models_dir: Path, weights: Path) -> None:
    made, _ = make(models_dir, weights, ultralytics(expected_detections), onnx=True)
    assert set(made.files) - {"model.mnn"} == {"model.xml", "model.bin", "model.onnx"}  # MNN is an extra


def test_with_tensorrt_its_engine_is_built_verified_and_listed_in_the_manifest(
    models_dir: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jetson = Jetson(monkeypatch)
    monkeypatch.setenv("PYTHONPATH", environment(tmp_path / "vendor", "10.3.0")["PYTHONPATH"])
    made, lines = make(models_dir, weights, ultralytics(expected_detections), onnx=True)
    ((name, built_for),) = made.engines.items()
    assert name in made.files
    assert built_for == jetson.built_for(
        models_dir / "gate" / "model.onnx",
        [Size(640, 384), Size(512, 288), Size(416, 256), Size(320, 192), Size(256, 160)],
        "f16",
    )
    agreement = "  100.0 % of the boxes agree with gate.pt in Ultralytics 8.4.190 (1 picture)"
    assert lines == [agreement, "building a TensorRT engine for this GPU, which takes several minutes", agreement]
    jetson.gpu.check_all_is_free()


def test_without_tensorrt_the_device_builds_the_engine(models_dir: Path, weights: Path) -> None:
    made, lines = make(models_dir, weights, ultralytics(expected_detections), onnx=True)
    assert made.engines == {}
    assert lines[-1].startswith("  no TensorRT engine, the device builds its own: TensorRT cannot be loaded")


def test_an_export_with_other_detections_is_rejected(models_dir: Path, weights: Path) -> None:
    error = rejected(models_dir, weights, ultralytics(lambda path: []))
    assert error.code == "model_accuracy"
    assert "Nothing was written" in str(error)


def test_without_detections_the_export_is_not_verified(models_dir: Path, weights: Path) -> None:
    blind = networks.colours(dimmed=9.0)
    made, lines = make(models_dir, weights, ultralytics(lambda path: [], blind))
    assert made.agreement is None
    assert lines == ["  not verified: no objects detected in 1 picture. Pass pictures of its classes: --on FOLDER"]


def test_pictures_of_a_folder_are_compared_too(models_dir: Path, weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(9):
        Image.new("RGB", (640, 384), (200, 20 * number, 90)).save(folder / f"{number}.png")
    made, _ = make(models_dir, weights, ultralytics(expected_detections), pictures=folder)
    assert made.agreement is not None
    assert made.agreement.pictures == 10
    assert made.agreement.points > 99
    blind = ultralytics(lambda path: [] if path.parent == folder else expected_detections(path))
    assert rejected(models_dir, weights, blind, name="other", pictures=folder).code == "model_accuracy"


def test_a_network_of_one_size_is_rejected(models_dir: Path, weights: Path) -> None:
    fixed = networks.colours(Size(640, 640))
    assert rejected(models_dir, weights, ultralytics(expected_detections, fixed)).code == "model_unsupported"


def test_a_model_is_replaced_only_with_force(models_dir: Path, weights: Path) -> None:
    make(models_dir, weights, ultralytics(expected_detections))
    assert "--force" in str(rejected(models_dir, weights, ultralytics(expected_detections)))
    make(models_dir, weights, ultralytics(expected_detections), force=True)


def run_program(tmp_path: Path, program: str, weights: str) -> Exported:
    return ultralytics_process.run(
        python_that(tmp_path, program), weights, [tmp_path / "a.jpg"], tmp_path, side=640, least=0.15, iou=0.7
    )


def test_the_last_line_of_the_program_is_its_answer(tmp_path: Path, weights: Path) -> None:
    answer = {"onnx": "gate.onnx", "found": [[["car", 2, 0.5, [1, 2, 3, 4]]]], "tools": {"torch": "2.13.0"}}
    found = run_program(tmp_path, f"print('noise'); print({json.dumps(json.dumps(answer))})", str(weights))
    assert found.onnx == tmp_path / "gate.onnx"
    assert found.found == [[Detection("car", 2, 0.5, Box(1, 2, 3, 4))]]


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("raise SystemExit('no such layer')", "cannot be exported: no such layer"),
        ("import os; os.kill(os.getpid(), 9)", "not enough memory"),
        (
            "import sys; print('bye', file=sys.stderr)",
            "it ended without a result; last message: bye",
        ),
    ],
)
def test_a_failing_program_is_reported(tmp_path: Path, weights: Path, program: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason) as caught:
        run_program(tmp_path, program, str(weights))
    assert caught.value.code == "export_failed"


def test_weights_that_cannot_be_downloaded_are_reported(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"yolo26n\.pt is not a file, and downloading it failed: offline"):
        run_program(tmp_path, "raise SystemExit('offline')", "yolo26n.pt")


def test_int8_requires_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["model", "export", "gate.pt", "--int8"]) == 1
    assert "--int8 needs --calibration FOLDER" in capsys.readouterr().err


def test_ultralytics_itself_exports_untrained_weights(tmp_path: Path) -> None:
    place = ENVIRONMENT.folder()
    if not is_ready(ENVIRONMENT, place):
        pytest.skip(
            f"NOT TESTED: Ultralytics' environment does not exist ({place}); `appliance model export` creates it"
        )
    program = "import torch; torch.manual_seed(0); from ultralytics import YOLO; YOLO('yolo11n.yaml').save('made.pt')"
    command = [str(place / "bin" / "python"), "-c", program]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=variables())
    settings = loader.load(flags={"model.dir": str(tmp_path / "models"), "flow.max_side": "320"})
    made = export(settings, str(tmp_path / "made.pt"), name="made", pictures=None, onnx=False,
                  force=False, report=print)  # fmt: skip
    assert (made.head, len(made.classes), made.fixed_size) == ("anchors", 80, None)
    assert made.tools["ultralytics"] in ENVIRONMENT.requirements


def test_nncf_itself_quantizes_an_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, nncf = ENVIRONMENT.folder(), nncf_process.environment()
    for needed, folder in ((ENVIRONMENT, place), (nncf, nncf.folder())):
        if not is_ready(needed, folder):
            pytest.skip(
                f"NOT TESTED: the environment of {needed.title} does not exist ({folder}); the command creates it"
            )
    program = "import torch; torch.manual_seed(0); from ultralytics import YOLO; YOLO('yolo11n.yaml').save('made.pt')"
    command = [str(place / "bin" / "python"), "-c", program]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=variables())
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(8):
        Image.new("RGB", (64, 64), (200, 20 * number, 90)).save(pictures / f"{number}.png")
    options = [
        "--int8",
        "--calibration",
        str(pictures),
        "--set",
        f"model.dir={tmp_path / 'models'}",
        "--set",
        "flow.max_side=64",
    ]
    assert cli.main(["model", "export", str(tmp_path / "made.pt"), *options]) == 0
    assert "made-int8 is installed in" in capsys.readouterr().out
    made, small = (bundles.read(tmp_path / "models" / name) for name in ("made", "made-int8"))
    assert (made.precision, small.precision, small.fixed_size) == ("", "int8", None)
    assert small.quantized is not None
    assert (small.quantized.made_from, small.quantized.measure) == ("made", "likeness")
    assert set(made.tools) | {"nncf"} == set(small.tools)
