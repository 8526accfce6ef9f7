"""What lies in a model's folder, and how damage to it is told."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
    """A bundle of ours."""
    return make_bundles(tmp_path, "colours") / "colours"


def refused(folder: Path) -> tuple[str, str]:
    """The code and the text with which a folder is refused."""
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
    assert read.files == {"net.xml": bundles.sha256(network)}
    assert replace(read, files={}) == written


@pytest.mark.parametrize("name", ["model.bin", "model.xml"])
def test_a_flipped_byte_is_noticed(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    code, text = refused(folder)
    assert code == "model_corrupt"
    assert name in text


def test_a_missing_file_is_noticed(folder: Path) -> None:
    (folder / "model.bin").unlink()
    assert refused(folder)[0] == "model_corrupt"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    code, text = refused(tmp_path / "nothing")
    assert code == "model_missing"
    assert str(tmp_path / "nothing") in text


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    assert refused(tmp_path)[0] == "model_corrupt"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "null", '{"schema": 1}', "\x00", '{"schema": 1, "classes": 5, "fixed_size": null}']
)
def test_a_damaged_manifest_says_so(folder: Path, text: str) -> None:
    (folder / bundles.MANIFEST).write_text(text, encoding="utf-8")
    code, message = refused(folder)
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
def test_a_manifest_with_a_wrong_entry_is_damaged(folder: Path, entries: dict[str, Any]) -> None:
    edit_manifest(folder, **entries)
    assert refused(folder)[0] == "model_corrupt"


def test_a_manifest_that_is_not_text_is_damaged(folder: Path) -> None:
    (folder / bundles.MANIFEST).write_bytes(b"\xff\xfe\x00\x81")
    assert refused(folder)[0] == "model_corrupt"


def test_a_manifest_from_the_future_is_not_guessed_at(folder: Path) -> None:
    edit_manifest(folder, schema=99)
    code, text = refused(folder)
    assert code == "model_unsupported"
    assert "99" in text


def test_a_head_that_nobody_reads_is_refused_at_the_start(folder: Path) -> None:
    edit_manifest(folder, head="crystal ball")
    code, text = refused(folder)
    assert code == "model_unsupported"
    assert "crystal ball" in text


def test_an_export_of_ultralytics_is_a_bundle_as_it_is(tmp_path: Path) -> None:
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


def test_an_export_of_one_size_says_which(tmp_path: Path) -> None:
    folder = export_folder(tmp_path / "fixed", networks.colours(Size(128, 96)), imgsz=[96, 128])
    assert bundles.read(folder).fixed_size == Size(128, 96)


def test_a_model_for_another_task_is_refused(tmp_path: Path) -> None:
    code, text = refused(export_folder(tmp_path / "model", networks.colours(rows=39), task="classify"))
    assert code == "model_unsupported"
    assert "'classify'; known are detect, segment, pose, obb" in text


@pytest.mark.parametrize(
    ("task", "rows", "told", "keypoints"),
    [
        ("pose", 7 + 34, [17, 2], (17, 2)),
        ("pose", 7 + 9, "[3, 3]", (3, 3)),
        ("obb", 8, None, None),
    ],
)
def test_a_model_of_every_task_is_known_by_its_output(
    tmp_path: Path, task: str, rows: int, told: object, keypoints: tuple[int, int] | None
) -> None:
    folder = export_folder(tmp_path / "model", networks.colours(rows=rows), task=task, kpt_shape=told)
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
def test_masks_are_read_as_their_prototypes_say(tmp_path: Path, rows: Any, metadata: dict[str, Any], head: str) -> None:
    """300 rows are objects of 6 + 3 numbers, not boxes with 293."""
    read = bundles.read(networks.export(tmp_path / "model", rows, networks.masks, task="segment", **metadata))
    assert (read.task, read.head) == ("segment", head)


def test_masks_without_prototypes_are_refused(tmp_path: Path) -> None:
    code, text = refused(export_folder(tmp_path / "model", networks.colours(rows=39), task="segment"))
    assert code == "model_unsupported"
    assert "no output of their prototypes" in text


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        ((1, 1, -1, -1), "1 channel, and cameras send three"),
        ((1, 4, 64, 64), "4 channels, and cameras send three"),
        ((4, 3, -1, -1), "export it again with batch=1"),
        ((1, 3, 64, -1), "leaves one side of its input open"),
        ((1, 3, 100_000, 100_000), "an input of 100000x100000 px"),
        ((1, 3, 64), "which is not for pictures"),
    ],
)
def test_a_network_that_no_camera_picture_fits_into_is_refused_with_what_to_do(
    tmp_path: Path, picture: tuple[int, ...], said: str
) -> None:
    rows = np.zeros((1, 7, 84), np.float32)
    code, text = refused(networks.export(tmp_path / "model", rows, picture=picture))
    assert code == "model_unsupported"
    assert said in text


@pytest.mark.parametrize("told", [None, "17 by 3", [17], [17, 5], [0, 3], {"a": 1}], ids=str)
def test_a_pose_that_does_not_say_its_points_is_refused(tmp_path: Path, told: object) -> None:
    folder = export_folder(tmp_path / "model", networks.colours(rows=58), task="pose", kpt_shape=told)
    assert refused(folder)[0] == "model_unsupported"


def test_an_output_that_no_head_reads_is_refused(tmp_path: Path) -> None:
    assert refused(export_folder(tmp_path / "model", networks.colours(rows=39)))[0] == "model_unsupported"


@pytest.mark.parametrize("names", [None, {}, [], "no dict", "{0: broken", 5])
def test_an_export_without_class_names_is_refused(tmp_path: Path, names: object) -> None:
    assert refused(export_folder(tmp_path / "model", networks.colours(), names=names))[0] == "model_unsupported"


@pytest.mark.parametrize("stride", ["wide", None, [32]])
def test_an_export_with_a_broken_stride_is_damaged(tmp_path: Path, stride: object) -> None:
    assert refused(export_folder(tmp_path / "model", networks.colours(), stride=stride))[0] == "model_corrupt"


@pytest.mark.parametrize("text", ["{", "\t- a: b: c", "just words", ""])
def test_an_export_with_damaged_metadata_is_refused(tmp_path: Path, text: str) -> None:
    folder = export_folder(tmp_path / "model", networks.colours())
    (folder / "metadata.yaml").write_text(text, encoding="utf-8")
    assert refused(folder)[0] in ("model_corrupt", "model_unsupported")


def test_an_export_holds_one_network(tmp_path: Path) -> None:
    folder = export_folder(tmp_path / "model", networks.colours())
    (folder / "other.xml").write_bytes((folder / "best.xml").read_bytes())
    assert refused(folder)[0] == "model_corrupt"
    for network in folder.glob("*.xml"):
        network.unlink()
    assert refused(folder)[0] == "model_corrupt"


@pytest.mark.parametrize("content", [b"", b"<net/>", b"<?xml version='1.0'?><net name='x' version='11'/>"], ids=repr)
def test_an_export_with_a_damaged_network_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = export_folder(tmp_path / "model", networks.colours())
    (folder / "best.xml").write_bytes(content)
    assert refused(folder)[0] == "model_corrupt"


def test_the_store_lists_what_is_good_and_what_is_broken(tmp_path: Path, folder: Path) -> None:
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
def test_the_default_model_is_what_its_manifest_says(models_dir: Path) -> None:
    read = bundles.read(models_dir / known_models.DEFAULT)
    assert (read.head, read.stride, read.fixed_size, len(read.classes)) == ("anchors", 32, None, 80)
    assert read.license == "AGPL-3.0"
    assert {"model.xml", "model.bin"} <= set(read.files)


@pytest.mark.parametrize("names", [{0: "red", 1: "green", 2: "blue"}, "{0: 'red', 1: 'green', 2: 'blue'}"], ids=str)
def test_class_names_may_be_a_table_or_its_text(tmp_path: Path, names: object) -> None:
    folder = export_folder(tmp_path / "model", networks.colours(), names=names)
    assert bundles.read(folder).classes == networks.CLASSES


def test_a_file_that_cannot_be_read_is_a_damaged_model(folder: Path) -> None:
    """As on a worn card: a folder in its place is no more readable."""
    (folder / "model.bin").unlink()
    (folder / "model.bin").mkdir()
    code, text = refused(folder)
    assert code == "model_corrupt"
    assert text.endswith("model.bin cannot be read: Is a directory")


def test_a_copied_bundle_is_called_after_its_own_folder(folder: Path) -> None:
    copied = folder.with_name("copied")
    shutil.copytree(folder, copied)
    assert bundles.read(copied).name == "copied"
