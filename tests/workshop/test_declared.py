"""Networks that do not say how they are read: as declared, or refused. The networks are a few operations, made here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from numpy.typing import NDArray
from openvino import opset13 as ops

from appliance.errors import ModelError
from appliance.flow.activation import close
from appliance.models import bundle as bundles
from appliance.service import loading
from appliance.settings.loader import load
from appliance.values import Box, Frame, ResultFilter, Size
from appliance.vision import decode
from appliance.workshop import declared, importing
from appliance.workshop.declared import Declaration, Input, build
from appliance.workshop.input_levels import Levels, put_before

SIZE = Size(96, 64)
CLASSES = ("cat", "dog")


def network(folder: Path, outputs: Callable[[Any], Sequence[Any]], *extra: Any, name: str = "net") -> Path:
    """A network of one size, saved as OpenVINO does."""
    picture = ops.parameter([1, 3, SIZE.height, SIZE.width], np.float32, name="image")
    model = openvino.Model([*outputs(picture)], [picture, *extra], name)
    folder.mkdir(exist_ok=True)
    openvino.save_model(model, folder / f"{name}.xml", compress_to_fp16=False)
    return folder / f"{name}.xml"


def yolox(picture: Any, classes: int = 2) -> list[Any]:
    """One object, which fills the first cell of 8 px; its score is the mean of the first colour."""
    cells = 12 * 8 + 6 * 4 + 3 * 2
    table = np.zeros((1, cells, 5 + classes), np.float32)
    table[0, 0, :5] = [0.5, 0.5, 0.0, 0.0, 1.0]
    which = np.zeros_like(table)
    which[0, 0, 6] = 1.0
    first = ops.reduce_mean(ops.gather(picture, np.array([0]), 1), np.array([1, 2, 3]), True)
    return [ops.add(table, ops.multiply(ops.reshape(first, np.array([1, 1, 1]), False), which))]


def rows(picture: Any) -> list[Any]:
    """PaddleDetection's finished rows, without an axis for several pictures: class, confidence, box."""
    zero = ops.multiply(ops.reduce_mean(picture, np.array([0, 1, 2, 3]), False), np.float32(0))
    return [ops.add(zero, np.array([[1, 0.8, 10, 20, 50, 60], [-1, 0, 0, 0, 0, 0]], np.float32))]


def separate(picture: Any) -> list[Any]:
    """torchvision's boxes, scores and labels."""
    zero = ops.multiply(ops.reduce_mean(picture, np.array([0, 1, 2, 3]), False), np.float32(0))
    boxes, scores = np.array([[10, 20, 50, 60]], np.float32), np.array([0.8], np.float32)
    return [ops.add(zero, boxes), ops.add(zero, scores), ops.constant(np.array([1], np.int64))]


def found(bundle: bundles.Bundle, picture: NDArray[np.float32]) -> tuple[tuple[str, float, Box], ...]:
    """What the bundle's network, asked as engines ask it (RGB from 0 to 1), shows its reader."""
    compiled = openvino.Core().compile_model(bundle.network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answer = compiled([picture])
    raw = tuple(answer[output][0] for output in compiled.outputs)
    seen = bundle.reader(0.7, 300).read(raw, bundle.place(SIZE, 96), ResultFilter(0.25))
    return tuple((one.name, round(one.confidence, 3), one.box_px) for one in seen)


def plain(red: float, green: float, blue: float) -> NDArray[np.float32]:
    colours = np.array([red, green, blue], np.float32)
    return np.broadcast_to(colours[None, :, None, None], (1, 3, SIZE.height, SIZE.width)).copy()


@pytest.mark.parametrize("colours", ["rgb", "bgr"])
def test_levels_are_worked_out_in_front_of_the_network(tmp_path: Path, colours: Any) -> None:
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    model = openvino.Core().read_model(network(tmp_path, lambda picture: [ops.relu(ops.relu(picture))]))
    compiled = openvino.Core().compile_model(
        put_before(model, Levels(colours, mean, std)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    picture = np.random.default_rng(1).random((1, 3, SIZE.height, SIZE.width), np.float32)
    order = picture if colours == "rgb" else picture[:, ::-1]
    wanted = (255 * order - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    np.testing.assert_allclose(compiled([picture])[0], np.maximum(wanted, 0), rtol=1e-4, atol=1e-4)


def test_yolox_is_shown_blue_first_in_bytes_and_in_the_corner(tmp_path: Path) -> None:
    made = build(network(tmp_path, yolox), tmp_path / "out", Declaration("yolox", CLASSES))
    assert (made.head, made.classes, made.fixed_size, made.placing) == ("yolox", CLASSES, SIZE, "corner")
    assert made == bundles.read(tmp_path / "out")
    assert found(made, plain(0, 0, 0.5 / 255)) == (("dog", 0.5, Box(0, 0, 8, 8)),)
    assert found(made, plain(0.9, 0.9, 0)) == ()


def test_what_is_declared_counts_above_what_is_usual(tmp_path: Path) -> None:
    said = Declaration("yolox", CLASSES, input=Input(colours="rgb", std=(255, 255, 255), placing="centre"))
    made = build(network(tmp_path, yolox), tmp_path / "out", said)
    assert made.placing == "centre"
    assert found(made, plain(0.5, 0, 0)) == (("dog", 0.5, Box(0, 0, 8, 8)),)


@pytest.mark.parametrize(("head", "outputs"), [("class_first", rows), ("boxes_labels", separate)])
def test_outputs_without_an_axis_for_several_pictures_get_one(
    tmp_path: Path, head: str, outputs: Callable[[Any], Sequence[Any]]
) -> None:
    made = build(network(tmp_path, outputs), tmp_path / "out", Declaration(head, CLASSES))
    assert found(made, plain(0, 0, 0)) == (("dog", 0.8, Box(10, 20, 50, 60)),)


def test_the_scale_that_paddledetection_asks_for_is_one(tmp_path: Path) -> None:
    scale = ops.parameter([1, 2], np.float32, name="scale_factor")

    def scaled(picture: Any) -> list[Any]:
        (table,) = rows(picture)
        return [ops.multiply(table, ops.reduce_mean(scale, np.array([0, 1]), False))]

    made = build(network(tmp_path, scaled, scale), tmp_path / "out", Declaration("class_first", CLASSES))
    assert found(made, plain(0, 0, 0)) == (("dog", 0.8, Box(10, 20, 50, 60)),)
    other = ops.parameter([1, 2], np.float32, name="other")
    asks = network(tmp_path, lambda picture: [*rows(picture), ops.relu(other)], other, name="asks")
    with pytest.raises(ModelError, match="second input, other"):
        build(asks, tmp_path / "no", Declaration("class_first", CLASSES))


@pytest.mark.parametrize(
    ("declaration", "why"),
    [
        (Declaration("yolo", CLASSES), "there is no head 'yolo'; known are anchors"),
        (Declaration("yolox"), "2 classes apart, and 80 are named"),
        (Declaration("picodet", CLASSES), "cannot be read by the head picodet"),
        (Declaration("boxes_labels", CLASSES), "cannot be read by the head boxes_labels"),
        (Declaration("yolox", ()), "0 class names"),
        (Declaration("yolox", ("cat", "d\x1b[2Jog")), "class 1 has control characters"),
        (Declaration("yolox", CLASSES, stride=0), "needs a stride of 1 to 1024"),
        (Declaration("yolox", CLASSES, input=Input(std=(1.0, 0.0, 1.0))), "a std of 0"),
    ],
)
def test_a_network_that_is_not_as_declared_is_refused(tmp_path: Path, declaration: Declaration, why: str) -> None:
    with pytest.raises(ModelError, match=why) as caught:
        build(network(tmp_path, yolox), tmp_path / "out", declaration)
    assert caught.value.code == "model_unsupported"
    assert not (tmp_path / "out").exists()


def test_a_folder_with_a_declaration_is_taken_in_and_served(tmp_path: Path) -> None:
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
def test_the_service_lays_a_picture_where_the_network_wants_it(tmp_path: Path, placing: Any, box: Box) -> None:
    """A picture that is twice as high as it is wide, in an input that is wider than it is high."""
    said = Declaration("yolox", CLASSES, input=Input(placing=placing))
    build(network(tmp_path, yolox), tmp_path / "gate", said)
    settings = load(flags={"model.dir": str(tmp_path), "model.name": "gate", "flow.scene_gate": "false"})
    inference = loading.inference_of(settings, loading.load_network(settings), lambda: 0.0)
    blue = decode.encode_jpeg(np.full((128, 64, 3), (0, 0, 200), np.uint8), 90)
    frame = Frame("gate", "1", 1, decode.read_header(blue, 10_000), ResultFilter(0.25), 0.0)
    (found,) = inference.run(frame, 640).detected.detections
    close(inference)
    assert astuple(found.box_px) == pytest.approx(astuple(box))


def test_an_archive_with_a_declaration_is_taken_in_as_well(tmp_path: Path) -> None:
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
def test_a_declaration_that_cannot_be_meant_is_named(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / declared.FILE).write_text(text)
    with pytest.raises(ModelError, match=why) as caught:
        declared.read(tmp_path / declared.FILE)
    assert caught.value.code == "model_unsupported"
    assert str(tmp_path / declared.FILE) in str(caught.value)


def test_a_folder_must_hold_one_network_beside_its_declaration(tmp_path: Path) -> None:
    (tmp_path / declared.FILE).write_text('head = "yolox"')
    with pytest.raises(ModelError, match="holds 0"):
        importing.import_model(tmp_path, tmp_path / "models", "gate")
