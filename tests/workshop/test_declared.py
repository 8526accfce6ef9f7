"""Networks with a declaration instead of metadata: they work as declared, or are rejected.

The networks have a few operations and are built here.
"""

from __future__ import annotations

import functools
import math
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import openvino
import pytest
from numpy.typing import NDArray
from openvino import opset13 as ops

from appliance.errors import ModelError
from appliance.models import bundle as bundles
from appliance.service import loading
from appliance.settings.loader import load
from appliance.values import Box, Frame, ResultFilter, Size
from appliance.vision import decode
from appliance.workshop import declared, importing, own_process
from appliance.workshop.declared import Declaration, Input, build
from appliance.workshop.preprocessing import Preprocessing, with_preprocessing
from tests.workshop.fakes import python_that

SIZE = Size(96, 64)
CLASSES = ("cat", "dog")


def network(folder: Path, outputs: Callable[[Any], Sequence[Any]], *extra: Any, name: str = "net") -> Path:
    """Save an OpenVINO network with a fixed input size."""
    picture = ops.parameter([1, 3, SIZE.height, SIZE.width], np.float32, name="image")
    model = openvino.Model([*outputs(picture)], [picture, *extra], name)
    folder.mkdir(exist_ok=True)
    openvino.save_model(model, folder / f"{name}.xml", compress_to_fp16=False)
    return folder / f"{name}.xml"


def yolox(picture: Any, classes: int = 2) -> list[Any]:
    """One object that fills the first cell of 8 px; its confidence is the mean of the first colour."""
    cells = 12 * 8 + 6 * 4 + 3 * 2
    table = np.zeros((1, cells, 5 + classes), np.float32)
    table[0, 0, :5] = [0.5, 0.5, 0.0, 0.0, 1.0]
    which = np.zeros_like(table)
    which[0, 0, 6] = 1.0
    first = ops.reduce_mean(ops.gather(picture, np.array([0]), 1), np.array([1, 2, 3]), True)
    return [ops.add(table, ops.multiply(ops.reshape(first, np.array([1, 1, 1]), False), which))]


def rows(picture: Any) -> list[Any]:
    """PaddleDetection's final rows without a batch axis: class, confidence, box."""
    zero = ops.multiply(ops.reduce_mean(picture, np.array([0, 1, 2, 3]), False), np.float32(0))
    return [ops.add(zero, np.array([[1, 0.8, 10, 20, 50, 60], [-1, 0, 0, 0, 0, 0]], np.float32))]


def separate(picture: Any) -> list[Any]:
    """torchvision's boxes, scores and labels, without a batch axis."""
    zero = ops.multiply(ops.reduce_mean(picture, np.array([0, 1, 2, 3]), False), np.float32(0))
    boxes, scores = np.array([[10, 20, 50, 60]], np.float32), np.array([0.8], np.float32)
    return [ops.add(zero, boxes), ops.add(zero, scores), ops.constant(np.array([1], np.int64))]


def detect(bundle: bundles.Bundle, picture: NDArray[np.float32]) -> tuple[tuple[str, float, Box], ...]:
    """Run the bundle's network as an engine does (RGB from 0 to 1) and read its output."""
    compiled = openvino.Core().compile_model(bundle.network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answer = compiled([picture])
    raw = tuple(answer[output][0] for output in compiled.outputs)
    detections = bundle.reader(0.7, 300).read(raw, bundle.place(SIZE, 96), ResultFilter(0.25))
    return tuple((one.name, round(one.confidence, 3), one.box_px) for one in detections)


def plain(red: float, green: float, blue: float) -> NDArray[np.float32]:
    colours = np.array([red, green, blue], np.float32)
    return np.broadcast_to(colours[None, :, None, None], (1, 3, SIZE.height, SIZE.width)).copy()


@pytest.mark.parametrize("colours", ["rgb", "bgr"])
def test_preprocessing_is_part_of_the_network(tmp_path: Path, colours: Any) -> None:
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    model = openvino.Core().read_model(network(tmp_path, lambda picture: [ops.relu(ops.relu(picture))]))
    compiled = openvino.Core().compile_model(
        with_preprocessing(model, Preprocessing(colours, mean, std)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    picture = np.random.default_rng(1).random((1, 3, SIZE.height, SIZE.width), np.float32)
    order = picture if colours == "rgb" else picture[:, ::-1]
    expected = (255 * order - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    np.testing.assert_allclose(compiled([picture])[0], np.maximum(expected, 0), rtol=1e-4, atol=1e-4)


def test_yolox_gets_bgr_bytes_in_the_corner_by_default(tmp_path: Path) -> None:
    made = build(network(tmp_path, yolox), tmp_path / "out", Declaration("yolox", CLASSES))
    assert (made.head, made.classes, made.fixed_size, made.placing) == ("yolox", CLASSES, SIZE, "corner")
    assert made == bundles.read(tmp_path / "out")
    assert detect(made, plain(0, 0, 0.5 / 255)) == (("dog", 0.5, Box(0, 0, 8, 8)),)
    assert detect(made, plain(0.9, 0.9, 0)) == ()


def test_a_declaration_overrides_the_defaults_of_its_head(tmp_path: Path) -> None:
    declaration = Declaration("yolox", CLASSES, input=Input(colours="rgb", std=(255, 255, 255), placing="centre"))
    made = build(network(tmp_path, yolox), tmp_path / "out", declaration)
    assert made.placing == "centre"
    assert detect(made, plain(0.5, 0, 0)) == (("dog", 0.5, Box(0, 0, 8, 8)),)


@pytest.mark.parametrize(("head", "outputs"), [("class_first", rows), ("boxes_labels", separate)])
def test_outputs_without_a_batch_axis_get_one(
    tmp_path: Path, head: str, outputs: Callable[[Any], Sequence[Any]]
) -> None:
    made = build(network(tmp_path, outputs), tmp_path / "out", Declaration(head, CLASSES))
    assert detect(made, plain(0, 0, 0)) == (("dog", 0.8, Box(10, 20, 50, 60)),)


def test_paddledetections_scale_input_becomes_one(tmp_path: Path) -> None:
    scale = ops.parameter([1, 2], np.float32, name="scale_factor")

    def scaled(picture: Any) -> list[Any]:
        (table,) = rows(picture)
        return [ops.multiply(table, ops.reduce_mean(scale, np.array([0, 1]), False))]

    made = build(network(tmp_path, scaled, scale), tmp_path / "out", Declaration("class_first", CLASSES))
    assert detect(made, plain(0, 0, 0)) == (("dog", 0.8, Box(10, 20, 50, 60)),)
    other = ops.parameter([1, 2], np.float32, name="other")
    asks = network(tmp_path, lambda picture: [*rows(picture), ops.relu(other)], other, name="asks")
    with pytest.raises(ModelError, match="unsupported second input 'other'"):
        build(asks, tmp_path / "no", Declaration("class_first", CLASSES))


@pytest.mark.parametrize(
    ("declaration", "why"),
    [
        (Declaration("yolo", CLASSES), "unknown head 'yolo'; supported: anchors"),
        (Declaration("yolox"), "has 2 classes, but 80 names are declared"),
        (Declaration("picodet", CLASSES), "the head picodet cannot read its output"),
        (Declaration("boxes_labels", CLASSES), "the head boxes_labels cannot read its output"),
        (Declaration("yolox", ()), "0 class names"),
        (Declaration("yolox", ("cat", "d\x1b[2Jog")), "class 1 contains control characters"),
        (Declaration("yolox", CLASSES, stride=0), "stride must be 1 to 1024"),
        *(
            (Declaration("yolox", CLASSES, input=Input(std=(1.0, value, 1.0))), "std 0.01 to 10000")
            for value in (0.0, 1e-300, -1.0, math.nan, math.inf)
        ),
        *(
            (Declaration("yolox", CLASSES, input=Input(mean=(1.0, value, 1.0))), "mean must be -10000 to 10000")
            for value in (math.nan, -math.inf, 1e9)
        ),
    ],
)
def test_a_network_that_does_not_match_its_declaration_is_rejected(
    tmp_path: Path, declaration: Declaration, why: str
) -> None:
    with pytest.raises(ModelError, match=why) as caught:
        build(network(tmp_path, yolox), tmp_path / "out", declaration)
    assert caught.value.code == "model_unsupported"
    assert not (tmp_path / "out").exists()


def test_the_network_runs_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may crash that process, or never end."""
    file = network(tmp_path, yolox)
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr(sys, "executable", str(python_that(tmp_path, crash)))
    with pytest.raises(ModelError, match=r"net\.xml does not run on this device: .*ended by SIGSEGV") as caught:
        build(file, tmp_path / "out", Declaration("yolox", CLASSES))
    assert caught.value.code == "model_unsupported"
    assert not (tmp_path / "out").exists()


def endless(picture: Any, *, at_once: bool) -> list[Any]:
    """The output of `yolox`, after a loop of 2^40 rounds; `at_once`: OpenVINO runs them before there is a picture."""
    value = ops.parameter([1, 3, SIZE.height, SIZE.width], np.float32)
    more, following = ops.constant(np.array([True])), ops.add(value, np.float32(1))
    loop = ops.loop(ops.constant(np.array(2**40, np.int64)), ops.constant(np.array(True)))
    loop.set_function(openvino.Model([more, following], [value], "body"))
    loop.set_special_body_ports([-1, 0])
    first = ops.constant(np.ones((1, 3, SIZE.height, SIZE.width), np.float32)) if at_once else picture
    loop.set_merged_input(value, first.output(0), following.output(0))
    return yolox(ops.add(loop.get_iter_value(following.output(0), -1), picture))


@pytest.mark.parametrize("at_once", [True, False])
def test_a_network_that_never_ends_is_given_up(tmp_path: Path, at_once: bool) -> None:
    file = network(tmp_path, functools.partial(endless, at_once=at_once))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / declared.HANDED_OVER).write_bytes(msgspec.json.encode(Declaration("yolox", CLASSES)))
    arguments = [str(file), str(tmp_path / "out")]
    with pytest.raises(ModelError, match="no result after 5 s"):
        own_process.run("appliance.workshop.declared_network", arguments, "net", longest_s=5)


def test_a_folder_with_a_declaration_is_imported_and_served(tmp_path: Path) -> None:
    folder = tmp_path / "yolox_nano"
    network(folder, yolox)
    (folder / declared.FILE).write_text('head = "yolox"\nclasses = ["cat", "dog"]\nlicense = "Apache-2.0"\n')
    made = importing.import_model(folder, tmp_path / "models", "gate")
    assert (made.name, made.license, made.source) == ("gate", "Apache-2.0", "net.xml")
    loaded = loading.load_network(load(flags={"model.dir": str(tmp_path / "models"), "model.name": "gate"}))
    try:
        assert loaded.placing == "corner"
        assert loaded.sizes.best(Size(1920, 1080), 640) == SIZE
    finally:
        loaded.sizes.close()
        loaded.engine.close()


@pytest.mark.parametrize(("placing", "box"), [("corner", Box(0, 0, 16, 16)), ("stretch", Box(0, 0, 64 / 12, 16))])
def test_the_service_places_a_picture_as_declared(tmp_path: Path, placing: Any, box: Box) -> None:
    """A portrait picture in a landscape input."""
    declaration = Declaration("yolox", CLASSES, input=Input(placing=placing))
    build(network(tmp_path, yolox), tmp_path / "gate", declaration)
    settings = load(flags={"model.dir": str(tmp_path), "model.name": "gate", "flow.scene_gate": "false"})
    inference = loading.inference_of(settings, loading.load_network(settings), lambda: 0.0)
    blue = decode.encode_jpeg(np.full((128, 64, 3), (0, 0, 200), np.uint8), 90)
    frame = Frame("gate", "1", 1, decode.read_header(blue, 10_000), ResultFilter(0.25), 0.0)
    (found,) = inference.run(frame, 640).detected.detections
    inference.close()
    assert astuple(found.box_px) == pytest.approx(astuple(box))


def test_an_archive_with_a_declaration_is_imported(tmp_path: Path) -> None:
    folder = tmp_path / "yolox_nano"
    network(folder, yolox)
    (folder / declared.FILE).write_text('head = "yolox"\nclasses = ["cat", "dog"]\n')
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, folder.name)
    assert importing.import_model(Path(archive), tmp_path / "models", "gate").head == "yolox"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('classes = ["cat"]', "head"),
        ('head = "yolox"\ncolors = "bgr"', "colors"),
        ('head = "yolox"\n[input]\nplacing = "left"', "left"),
        ('head = "yolox"\n[input]\nmean = [1, 2]', "mean"),
        ('head = "yolox', "model.toml"),
    ],
)
def test_an_invalid_declaration_is_reported_with_its_file(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / declared.FILE).write_text(text)
    with pytest.raises(ModelError, match=why) as caught:
        declared.read(tmp_path / declared.FILE)
    assert caught.value.code == "model_unsupported"
    assert str(tmp_path / declared.FILE) in str(caught.value)


def test_a_folder_must_contain_one_network_next_to_its_declaration(tmp_path: Path) -> None:
    (tmp_path / declared.FILE).write_text('head = "yolox"')
    with pytest.raises(ModelError, match="contains 0"):
        importing.import_model(tmp_path, tmp_path / "models", "gate")
