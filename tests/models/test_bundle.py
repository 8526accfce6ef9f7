"""Reading bundles and Ultralytics exports, and reporting what is wrong with them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance import files
from appliance.engines import registry
from appliance.errors import ModelError
from appliance.models import bundle as bundles
from appliance.models import store
from appliance.models.bundle import Bundle
from appliance.values import ResultFilter, Size
from appliance.vision import decode, scene
from appliance.vision.heads import Reader
from appliance.vision.letterbox import fit
from appliance.workshop import known_models
from tests.models import networks
from tests.models.bundles import edit_manifest, export_folder, make_bundles

WANTED = ResultFilter(0.25)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A valid bundle."""
    return make_bundles(tmp_path, "colours") / "colours"


def rejected(folder: Path) -> tuple[str, str]:
    """The code and text of the error that reading the folder raises."""
    with pytest.raises(ModelError) as caught:
        bundles.read(folder)
    return caught.value.code, str(caught.value)


def test_a_bundle_is_read_as_it_was_written(folder: Path) -> None:
    read = bundles.read(folder)
    assert (read.name, read.task, read.head, read.stride) == ("colours", "detect", "anchors", 32)
    assert read.classes == networks.CLASSES
    assert (read.fixed_size, read.license, read.source) == (None, "AGPL-3.0", "a test")
    assert read.network == folder / "model.xml"
    assert set(read.files) == {"model.xml", "model.bin"}


@pytest.mark.parametrize("fixed_size", [None, Size(640, 384)])
def test_every_entry_survives_the_manifest(tmp_path: Path, fixed_size: Size | None) -> None:
    network = tmp_path / "net.xml"
    network.write_bytes(b"network")
    classes = ("Straßenlaterne", "a 'quoted' \"name\"", "")
    written = Bundle(
        tmp_path.name,
        network,
        "detect",
        "end_to_end",
        classes,
        64,
        fixed_size,
        "MIT",
        "here",
        {},
        tools={"openvino": "2025.0"},
    )
    bundles.write_manifest(written)
    read = bundles.read(tmp_path)
    assert read.files == {"net.xml": files.sha256(network)}
    assert replace(read, files={}) == written


@pytest.mark.parametrize("name", ["model.bin", "model.xml"])
def test_a_flipped_byte_is_detected(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    code, text = rejected(folder)
    assert code == "model_corrupt"
    assert name in text


def test_a_missing_file_is_detected(folder: Path) -> None:
    (folder / "model.bin").unlink()
    assert rejected(folder)[0] == "model_corrupt"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    code, text = rejected(tmp_path / "nothing")
    assert code == "model_missing"
    assert str(tmp_path / "nothing") in text


def test_a_folder_without_a_manifest_is_rejected(tmp_path: Path) -> None:
    assert rejected(tmp_path)[0] == "model_corrupt"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "null", '{"schema": 1}', "\x00", '{"schema": 1, "classes": 5, "fixed_size": null}']
)
def test_a_damaged_manifest_is_reported(folder: Path, text: str) -> None:
    (folder / bundles.MANIFEST).write_text(text, encoding="utf-8")
    code, message = rejected(folder)
    assert code == "model_corrupt"
    assert "manifest.json is damaged" in message


@pytest.mark.parametrize(
    "entries",
    [
        {"classes": 5},
        {"stride": "wide"},
        {"fixed_size": {"width": 5}},
        {"fixed_size": [640, 640]},
        {"files": 3},
        {"network": 7},
        {"network": None},
        {"without": "network"},
        {"without": "head"},
        {"without": "schema"},
    ],
    ids=str,
)
def test_a_manifest_with_an_invalid_entry_is_rejected(folder: Path, entries: dict[str, Any]) -> None:
    edit_manifest(folder, **entries)
    assert rejected(folder)[0] == "model_corrupt"


def test_a_manifest_that_is_not_text_is_rejected(folder: Path) -> None:
    (folder / bundles.MANIFEST).write_bytes(b"\xff\xfe\x00\x81")
    assert rejected(folder)[0] == "model_corrupt"


def test_a_newer_manifest_schema_is_rejected(folder: Path) -> None:
    edit_manifest(folder, schema=99)
    code, text = rejected(folder)
    assert code == "model_unsupported"
    assert "99" in text


def test_an_unknown_head_is_rejected(folder: Path) -> None:
    edit_manifest(folder, head="crystal ball")
    code, text = rejected(folder)
    assert code == "model_unsupported"
    assert "crystal ball" in text


def test_an_ultralytics_export_is_a_bundle(tmp_path: Path) -> None:
    folder = export_folder(tmp_path / "best_openvino_model", networks.colours())
    read = bundles.read(folder)
    assert (read.name, read.head, read.stride) == ("best_openvino_model", "anchors", 32)
    assert read.classes == networks.CLASSES
    assert (read.fixed_size, read.license) == (None, "AGPL-3.0")
    assert read.network == folder / "best.xml"
    engine = registry.create("openvino", read.network, precision="f32")
    engine.prepare(Size(96, 64))
    tensor = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    raw = engine.infer(tensor, lambda raw: np.array(raw[0]))
    engine.close()
    np.testing.assert_allclose(raw, networks.expected(tensor), atol=1e-3)


def test_an_export_of_one_size_has_a_fixed_size(tmp_path: Path) -> None:
    folder = export_folder(tmp_path / "fixed", networks.colours(Size(128, 96)), imgsz=[96, 128])
    assert bundles.read(folder).fixed_size == Size(128, 96)


def test_an_unsupported_task_is_rejected(tmp_path: Path) -> None:
    code, text = rejected(export_folder(tmp_path / "model", networks.colours(rows=39), task="classify"))
    assert code == "model_unsupported"
    assert "'classify'; supported: detect, segment, pose, obb" in text


@pytest.mark.parametrize(
    ("task", "rows", "kpt_shape", "keypoints"),
    [
        ("pose", 7 + 34, [17, 2], (17, 2)),
        ("pose", 7 + 9, "[3, 3]", (3, 3)),
        ("obb", 8, None, None),
    ],
)
def test_every_task_is_recognised_by_its_output(
    tmp_path: Path, task: str, rows: int, kpt_shape: object, keypoints: tuple[int, int] | None
) -> None:
    folder = export_folder(tmp_path / "model", networks.colours(rows=rows), task=task, kpt_shape=kpt_shape)
    read = bundles.read(folder)
    assert (read.task, read.head) == (task, "anchors")
    assert read.keypoints == keypoints
    bundles.write_manifest(read)
    assert replace(bundles.read(folder), files={}) == read
    assert read.reader(0.7, 300).task == task


@pytest.mark.parametrize(
    ("rows", "metadata", "head"),
    [
        (np.zeros((1, 7 + 3, 84), np.float32), {}, "anchors"),
        (np.zeros((1, 300, 6 + 3), np.float32), {"args": {"nms": True}}, "end_to_end"),
        (np.zeros((1, 12, 6 + 3), np.float32), {}, "end_to_end"),
        (np.zeros((1, 300, 6 + 3), np.float32), {"end2end": True}, "end_to_end"),
    ],
)
def test_the_prototypes_decide_how_mask_rows_are_read(
    tmp_path: Path, rows: Any, metadata: dict[str, Any], head: str
) -> None:
    """300 rows are objects of 6 + 3 values, not boxes with 293."""
    read = bundles.read(networks.export(tmp_path / "model", rows, networks.masks, task="segment", **metadata))
    assert (read.task, read.head) == ("segment", head)


def test_masks_without_prototypes_are_rejected(tmp_path: Path) -> None:
    code, text = rejected(export_folder(tmp_path / "model", networks.colours(rows=39), task="segment"))
    assert code == "model_unsupported"
    assert "without an output for mask prototypes" in text


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        ((1, 1, -1, -1), "1 channel, but cameras send three"),
        ((1, 4, 64, 64), "4 channels, but cameras send three"),
        ((4, 3, -1, -1), "Export it again with batch=1"),
        ((1, 3, 64, -1), "fixes only one side of its input"),
        ((1, 3, 100_000, 100_000), "an input of 100000x100000 px"),
        ((1, 3, 64), "a picture needs four dimensions"),
    ],
)
def test_a_network_that_does_not_accept_a_camera_picture_is_rejected(
    tmp_path: Path, picture: tuple[int, ...], reason: str
) -> None:
    rows = np.zeros((1, 7, 84), np.float32)
    code, text = rejected(networks.export(tmp_path / "model", rows, picture=picture))
    assert code == "model_unsupported"
    assert reason in text


@pytest.mark.parametrize("kpt_shape", [None, "17 by 3", [17], [17, 5], [0, 3], {"a": 1}], ids=str)
def test_a_pose_model_without_a_keypoint_shape_is_rejected(tmp_path: Path, kpt_shape: object) -> None:
    folder = export_folder(tmp_path / "model", networks.colours(rows=58), task="pose", kpt_shape=kpt_shape)
    assert rejected(folder)[0] == "model_unsupported"


def test_an_unsupported_output_shape_is_rejected(tmp_path: Path) -> None:
    assert rejected(export_folder(tmp_path / "model", networks.colours(rows=39)))[0] == "model_unsupported"


@pytest.mark.parametrize("names", [None, {}, [], "no dict", "{0: broken", 5])
def test_an_export_without_class_names_is_rejected(tmp_path: Path, names: object) -> None:
    assert rejected(export_folder(tmp_path / "model", networks.colours(), names=names))[0] == "model_unsupported"


@pytest.mark.parametrize("stride", ["wide", None, [32]])
def test_an_export_with_an_invalid_stride_is_rejected(tmp_path: Path, stride: object) -> None:
    assert rejected(export_folder(tmp_path / "model", networks.colours(), stride=stride))[0] == "model_corrupt"


@pytest.mark.parametrize("text", ["{", "\t- a: b: c", "just words", ""])
def test_an_export_with_damaged_metadata_is_rejected(tmp_path: Path, text: str) -> None:
    folder = export_folder(tmp_path / "model", networks.colours())
    (folder / "metadata.yaml").write_text(text, encoding="utf-8")
    assert rejected(folder)[0] in ("model_corrupt", "model_unsupported")


def test_an_export_must_contain_one_network(tmp_path: Path) -> None:
    folder = export_folder(tmp_path / "model", networks.colours())
    (folder / "other.xml").write_bytes((folder / "best.xml").read_bytes())
    assert rejected(folder)[0] == "model_corrupt"
    for network in folder.glob("*.xml"):
        network.unlink()
    assert rejected(folder)[0] == "model_corrupt"


@pytest.mark.parametrize("content", [b"", b"<net/>", b"<?xml version='1.0'?><net name='x' version='11'/>"], ids=repr)
def test_an_export_with_a_damaged_network_is_rejected(tmp_path: Path, content: bytes) -> None:
    folder = export_folder(tmp_path / "model", networks.colours())
    (folder / "best.xml").write_bytes(content)
    assert rejected(folder)[0] == "model_corrupt"


def test_the_store_lists_valid_and_broken_bundles(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / ".fetch-left-over").mkdir()
    found = store.entries(tmp_path)
    assert list(found) == ["colours", "empty"]
    assert isinstance(found["colours"], Bundle)
    assert isinstance(found["empty"], ModelError)
    assert store.entries(tmp_path / "nowhere") == {}


@pytest.mark.model
def test_the_default_model_exported_by_ultralytics_finds_the_sign(
    models_dir: Path, tmp_path: Path, scene_jpeg: bytes
) -> None:
    ours = bundles.read(models_dir / known_models.DEFAULT)
    folder = tmp_path / "yolo11n_openvino_model"
    folder.mkdir()
    for suffix in (".xml", ".bin"):
        (folder / f"yolo11n{suffix}").symlink_to(ours.network.with_suffix(suffix))
    (folder / "metadata.yaml").write_text(networks.metadata_yaml(ours.classes), encoding="utf-8")
    theirs = bundles.read(folder)
    assert (theirs.classes, theirs.head, theirs.stride) == (ours.classes, ours.head, ours.stride)

    engine = registry.create("openvino", theirs.network)
    engine.prepare(Size(640, 384))
    picture = decode.read_header(scene_jpeg, 10_000_000)
    place = fit(picture.size, Size(640, 384))
    reader = Reader(theirs.head, theirs.classes, 0.7, 300)
    (sign,) = engine.infer(decode.load(picture, place), lambda raw: reader.read(raw, place, WANTED))
    engine.close()
    assert sign.name == scene.SIGN
    _, drawn = scene.draw(picture.size)
    assert abs(sign.box_px.x1 - drawn.x1) < 20


@pytest.mark.model
def test_the_default_model_matches_its_manifest(models_dir: Path) -> None:
    read = bundles.read(models_dir / known_models.DEFAULT)
    assert (read.head, read.stride, read.fixed_size, len(read.classes)) == ("anchors", 32, None, 80)
    assert read.license == "AGPL-3.0"
    assert {"model.xml", "model.bin"} <= set(read.files)


@pytest.mark.parametrize("names", [{0: "red", 1: "green", 2: "blue"}, "{0: 'red', 1: 'green', 2: 'blue'}"], ids=str)
def test_class_names_may_be_a_table_or_its_text(tmp_path: Path, names: object) -> None:
    folder = export_folder(tmp_path / "model", networks.colours(), names=names)
    assert bundles.read(folder).classes == networks.CLASSES


def test_an_unreadable_file_is_a_damaged_model(folder: Path) -> None:
    """A folder in its place is as unreadable as a file on a worn SD card."""
    (folder / "model.bin").unlink()
    (folder / "model.bin").mkdir()
    code, text = rejected(folder)
    assert code == "model_corrupt"
    assert text.endswith("model.bin cannot be read: Is a directory")


def test_a_copied_bundle_is_named_after_its_folder(folder: Path) -> None:
    copied = folder.with_name("copied")
    shutil.copytree(folder, copied)
    assert bundles.read(copied).name == "copied"
