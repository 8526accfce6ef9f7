"""Weights into bundles, held against what the weights see themselves; Ultralytics is played by what it would write."""

from __future__ import annotations

import json
import subprocess
import sys
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
from appliance.workshop.export.export import Run, export
from appliance.workshop.export.ultralytics_process import ENVIRONMENT, Exported
from appliance.workshop.quantize import nncf_process
from tests.engines.nvidia.environment import environment
from tests.engines.nvidia.jetson import Jetson
from tests.models import networks


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "gate.pt"
    path.write_bytes(b"weights")
    return path


def ultralytics(found: Callable[[Path], list[Detection]], onnx: bytes | None = None) -> Run:
    """Exports the colours, and sees in a picture what `found` says."""

    def run(weights: str, pictures: Sequence[Path], scratch: Path) -> Exported:
        (scratch / "gate.onnx").write_bytes(networks.colours() if onnx is None else onnx)
        return Exported(scratch / "gate.onnx", [found(path) for path in pictures], {"ultralytics": "8.4.190"})

    return run


def as_it_is(path: Path) -> list[Detection]:
    """What the colours' network sees in the drawn scene, or in a picture of one colour, worked out without it."""
    picture = Image.open(path)
    means = np.asarray(picture.convert("RGB"), np.float32).reshape(-1, 3).mean(axis=0) / 255
    if picture.height == 720:  # laid into 640x384 with a border of 12 above; every colour wins somewhere in it
        box, best = Box(76, 40, 116, 72), range(3)
    else:
        box, best = Box(38, 32, 58, 48), range(int(means.argmax()), int(means.argmax()) + 1)
    return [Detection(networks.CLASSES[number], number, float(means[number]), box) for number in best]


def make(models_dir: Path, weights: Path, run: Run, **options: object) -> tuple[bundles.Bundle, list[str]]:
    said: list[str] = []
    settings = loader.load(flags={"model.dir": str(models_dir)})
    given = {"name": "gate", "pictures": None, "onnx": False, "force": False} | options
    return export(settings, str(weights), run=run, report=said.append, **given), said  # type: ignore[arg-type]


def refused(models_dir: Path, weights: Path, run: Run, **options: object) -> ModelError:
    """The refusal, which leaves nothing behind."""
    before = store.names(models_dir)
    with pytest.raises(ModelError) as caught:
        make(models_dir, weights, run, **options)
    assert store.names(models_dir) == before
    assert not models_dir.is_dir() or not list(models_dir.glob(".*"))
    return caught.value


def test_the_bundle_says_what_it_was_made_of_and_held_against(models_dir: Path, weights: Path) -> None:
    made, said = make(models_dir, weights, ultralytics(as_it_is))
    assert made == bundles.read(models_dir / "gate")
    assert made.agreement == bundles.Agreement("gate.pt in Ultralytics 8.4.190", 100.0, 1)
    assert (made.source, made.head, made.license) == ("gate.pt", "anchors", "AGPL-3.0")
    assert {"ultralytics", "openvino"} == set(made.tools)
    assert set(made.files) == {"model.xml", "model.bin"}
    assert said == ["  100.0 % of its boxes are those of gate.pt in Ultralytics 8.4.190, 1 pictures"]


def test_the_onnx_file_stays_when_it_is_asked_for(models_dir: Path, weights: Path) -> None:
    made, _ = make(models_dir, weights, ultralytics(as_it_is), onnx=True)
    assert set(made.files) == {"model.xml", "model.bin", "model.onnx"}


def test_where_tensorrt_is_its_engine_is_built_held_against_the_weights_and_named_in_the_manifest(
    models_dir: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jetson = Jetson(monkeypatch)
    monkeypatch.setenv("PYTHONPATH", environment(tmp_path / "vendor", "10.3.0")["PYTHONPATH"])
    made, said = make(models_dir, weights, ultralytics(as_it_is), onnx=True)
    ((name, built_for),) = made.engines.items()
    assert name in made.files
    assert built_for == jetson.built_for(
        models_dir / "gate" / "model.onnx",
        [Size(640, 384), Size(512, 288), Size(416, 256), Size(320, 192), Size(256, 160)],
        "f16",
    )
    alike = "  100.0 % of its boxes are those of gate.pt in Ultralytics 8.4.190, 1 pictures"
    assert said == [alike, "building a TensorRT engine for this GPU, which takes minutes", alike]
    jetson.gpu.check_all_is_free()


def test_where_tensorrt_is_not_the_box_builds_the_engine(models_dir: Path, weights: Path) -> None:
    made, said = make(models_dir, weights, ultralytics(as_it_is), onnx=True)
    assert made.engines == {}
    assert said[-1].startswith("  without a TensorRT engine, which the box builds itself: TensorRT cannot be loaded")


def test_an_export_that_sees_otherwise_is_refused(models_dir: Path, weights: Path) -> None:
    error = refused(models_dir, weights, ultralytics(lambda path: []))
    assert error.code == "model_accuracy"
    assert "nothing was written" in str(error)


def test_two_that_see_nothing_prove_nothing(models_dir: Path, weights: Path) -> None:
    blind = networks.colours(dimmed=9.0)
    made, said = make(models_dir, weights, ultralytics(lambda path: [], blind))
    assert made.agreement is None
    assert said == ["  not proved: nothing is seen in 1 pictures; give some with what it knows: --on FOLDER"]


def test_pictures_of_ones_own_are_looked_at_too(models_dir: Path, weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(9):
        Image.new("RGB", (640, 384), (200, 20 * number, 90)).save(folder / f"{number}.png")
    made, _ = make(models_dir, weights, ultralytics(as_it_is), pictures=folder)
    assert made.agreement is not None
    assert made.agreement.pictures == 10
    assert made.agreement.points > 99
    blind = ultralytics(lambda path: [] if path.parent == folder else as_it_is(path))
    assert refused(models_dir, weights, blind, name="other", pictures=folder).code == "model_accuracy"


def test_a_network_of_one_size_is_refused(models_dir: Path, weights: Path) -> None:
    fixed = networks.colours(Size(640, 640))
    assert refused(models_dir, weights, ultralytics(as_it_is, fixed)).code == "model_unsupported"


def test_a_model_that_is_there_is_replaced_only_when_told_to(models_dir: Path, weights: Path) -> None:
    make(models_dir, weights, ultralytics(as_it_is))
    assert "--force" in str(refused(models_dir, weights, ultralytics(as_it_is)))
    make(models_dir, weights, ultralytics(as_it_is), force=True)


def python_that(tmp_path: Path, program: str) -> Path:
    """A stand-in for the environment's Python, that runs this instead of what it is given."""
    (tmp_path / "program.py").write_text(program)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path / "program.py"} "$@"\n')
    python.chmod(0o755)
    return python


def run_program(tmp_path: Path, program: str, weights: str) -> Exported:
    return ultralytics_process.run(
        python_that(tmp_path, program), weights, [tmp_path / "a.jpg"], tmp_path, side=640, least=0.15, iou=0.7
    )


def test_the_programs_last_line_is_its_answer(tmp_path: Path, weights: Path) -> None:
    answer = {"onnx": "gate.onnx", "found": [[["car", 2, 0.5, [1, 2, 3, 4]]]], "tools": {"torch": "2.13.0"}}
    found = run_program(tmp_path, f"print('noise'); print({json.dumps(json.dumps(answer))})", str(weights))
    assert found.onnx == tmp_path / "gate.onnx"
    assert found.found == [[Detection("car", 2, 0.5, Box(1, 2, 3, 4))]]


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("raise SystemExit('no such layer')", "cannot be exported: no such layer"),
        ("import os; os.kill(os.getpid(), 9)", "not enough memory"),
    ],
)
def test_a_program_that_fails_says_why(tmp_path: Path, weights: Path, program: str, told: str) -> None:
    with pytest.raises(ModelError, match=told) as caught:
        run_program(tmp_path, program, str(weights))
    assert caught.value.code == "export_failed"


def test_weights_that_cannot_be_fetched_are_to_be_given_as_a_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"yolo26n\.pt is not a file here and could not be downloaded: offline"):
        run_program(tmp_path, "raise SystemExit('offline')", "yolo26n.pt")


def test_int8_needs_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["model", "export", "gate.pt", "--int8"]) == 1
    assert "--int8 needs --calibration FOLDER" in capsys.readouterr().err


def test_untrained_weights_go_through_ultralytics_itself(tmp_path: Path) -> None:
    place = ENVIRONMENT.folder()
    if not is_ready(ENVIRONMENT, place):
        pytest.skip(f"NOT TESTED: Ultralytics' environment is not there ({place}); `appliance model export` makes it")
    program = "import torch; torch.manual_seed(0); from ultralytics import YOLO; YOLO('yolo11n.yaml').save('made.pt')"
    command = [str(place / "bin" / "python"), "-c", program]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=variables())
    settings = loader.load(flags={"model.dir": str(tmp_path / "models"), "flow.max_side": "320"})
    made = export(settings, str(tmp_path / "made.pt"), name="made", pictures=None, onnx=False,
                  force=False, report=print)  # fmt: skip
    assert (made.head, len(made.classes), made.fixed_size) == ("anchors", 80, None)
    assert made.tools["ultralytics"] in ENVIRONMENT.requirements


def test_int8_goes_on_from_the_export_with_nncf_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, nncf = ENVIRONMENT.folder(), nncf_process.environment()
    for wanted, where in ((ENVIRONMENT, place), (nncf, nncf.folder())):
        if not is_ready(wanted, where):
            pytest.skip(f"NOT TESTED: {wanted.title}'s environment is not there ({where}); the command makes it")
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
