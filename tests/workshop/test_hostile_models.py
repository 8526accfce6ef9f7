"""Damaged and malicious bundles: each raises a ModelError for that bundle and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.errors import ModelError
from appliance.models import active, engine_file, metadata, store
from appliance.models import bundle as bundles
from appliance.models.bundle import Bundle
from appliance.values import Size
from appliance.workshop import declared
from tests.models import networks
from tests.models.bundles import make_bundles

NESTED_JSON = "[" * 100_000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("../../etc/passwd"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A valid bundle."""
    return make_bundles(tmp_path_factory.mktemp("good"), "colours") / "colours"


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    """A copy of the valid bundle."""
    return Path(shutil.copytree(good, tmp_path / "models" / "colours"))


def manifest_of(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / bundles.MANIFEST).read_text(encoding="utf-8"))
    return manifest


def rejected(folder: Path) -> str:
    """The error that reading the folder raises, alone and in the list of all bundles."""
    with pytest.raises(ModelError) as caught:
        bundles.read(folder)
    assert isinstance(store.entries(folder.parent)[folder.name], ModelError)
    return str(caught.value)


def read_or_reject(folder: Path) -> None:
    """A bundle that is read without an error has values that the service can use."""
    try:
        found = bundles.read(folder)
    except ModelError:
        return
    for image in (Size(1, 1), Size(1920, 1080), Size(1, 5000)):
        outer = found.place(image, 640).outer
        assert outer.width * outer.height <= 100_000_000
    assert all((folder / name).parent == folder for name in found.files)


@pytest.mark.parametrize(
    "entries",
    [
        {"stride": 0},
        {"stride": -32},
        {"stride": 10**9},
        {"stride": 32.5},
        {"stride": "32"},
        {"fixed_size": {"width": 0, "height": 640}},
        {"fixed_size": {"width": 10**9, "height": 10**9}},
        {"classes": "person"},
        {"classes": []},
        {"classes": [1, 2, 3]},
        {"classes": ["a", "b\n<3>forged", "c"]},
        {"classes": ["x" * 10_000]},
        {"classes": [str(number) for number in range(30_000)]},
        {"license": "MIT\x1b[2J"},
        {"license": ["MIT"]},
        {"tools": {"openvino": 5}},
        {"files": {"../../../etc/passwd": "0" * 64}},
        {"files": {"/etc/passwd": "0" * 64}},
        {"files": {"model.xml": "short"}},
        {"files": {f"{number}.bin": "0" * 64 for number in range(1000)}},
        {"files": {}},
        {"network": "../model.xml"},
        {"network": "/dev/zero"},
        {"network": ""},
        {"network": "manifest.json"},
        {"head": ["anchors"]},
        {"task": {"detect": 1}},
        {"task": "pose"},
        {"keypoints": [10**9, 3]},
        {"engines": {"../x.engine": {}}},
        {"engines": {"x.engine": {"gpu": "Orin"}}},
        {"quantized": {"made_from": "x"}},
        {"agreement": {"original": "x", "points": 1e300, "pictures": 1}},
    ],
    ids=str,
)
def test_a_manifest_with_values_out_of_range_is_rejected(folder: Path, entries: dict[str, Any]) -> None:
    (folder / bundles.MANIFEST).write_text(json.dumps(manifest_of(folder) | entries), encoding="utf-8")
    assert "manifest.json" in rejected(folder)


@pytest.mark.parametrize(
    "text",
    [
        NESTED_JSON,
        '{"schema": 1, "more": ' + NESTED_JSON,
        '{"schema": ' + NESTED_JSON,
        '{"schema": 1, "stride": NaN}',
        '{"schema": 1, "stride": 1e999}',
        '{"schema": ' + "9" * 10_000 + "}",
        '"\\ud800"',
    ],
    ids=lambda text: str(text)[:30],
)
def test_a_manifest_made_to_crash_the_parser_is_rejected(folder: Path, text: str) -> None:
    (folder / bundles.MANIFEST).write_text(text, encoding="utf-8")
    assert "manifest.json" in rejected(folder)


def test_an_endless_manifest_is_not_read(folder: Path) -> None:
    with (folder / bundles.MANIFEST).open("wb") as file:
        file.truncate(10**10)
    assert "larger than 4 MB" in rejected(folder)


@pytest.mark.parametrize("name", ["manifest.json", "model.xml", "model.bin", "more.txt"])
def test_a_pipe_does_not_block(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    assert "neither a file nor a folder" in rejected(folder)


def test_an_endless_device_is_not_read(folder: Path) -> None:
    (folder / "model.bin").unlink()
    (folder / "model.bin").symlink_to("/dev/zero")
    assert "neither a file nor a folder" in rejected(folder)


def test_a_file_larger_than_any_model_is_not_hashed(folder: Path) -> None:
    with (folder / "model.bin").open("r+b") as file:
        file.truncate(10**12)
    assert "larger than 2 GB" in rejected(folder)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "a: &a [x, x]\nb: &b [*a, *a]\nnames: {0: *b}",
        "a: &a {0: x}\nnames:\n  <<: [*a, *a]",
        "names: {0: 2001-99-99}",
        "names: {0: person}\nstride: 0",
        "names: {0: person}\nstride: -1",
        "names: {0: person}\nstride: " + "9" * 10_000,
        "names: {0: person}\nstride: 1e3",
        "names: {0: !!python/object/apply:os.system [ls], 1: b}",
        "names: {-1: person}",
        'names: {0: "a\\e[2J"}',
        "names: {{}: person}",
        "names: &a {0: *a}",
        "names: '{0: " + "(" * 10_000 + "'",
        "names: '{0: \"\\x\"}'",
        "names: {0: person}\ntask: pose\nkpt_shape: [999999, 3]",
        "names: {0: person}\ntask: [detect]",
    ],
    ids=lambda text: str(text)[:40],
)
def test_metadata_made_to_crash_the_parser_is_rejected(tmp_path: Path, text: str) -> None:
    folder = networks.export(tmp_path / "models" / "theirs", networks.masks)
    (folder / "metadata.yaml").write_text(text, encoding="utf-8")
    assert rejected(folder)


@pytest.mark.parametrize("entry", ["end2end: *a6", "args: {nms: *a6}", "stride: *a6", "names: *a6", "license: *a6"])
def test_nested_aliases_in_metadata_do_not_expand(tmp_path: Path, entry: str) -> None:
    """Each further line makes the text of the last list ten times as long: 10 MB after six."""
    aliases = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 7))
    path = tmp_path / metadata.FILE
    path.write_text(f"a0: &a0 [x]\n{aliases}names: {{0: person}}\n{entry}", encoding="utf-8")
    properties = metadata.read_yaml(path)
    tracemalloc.start()
    try:
        with contextlib.suppress(ModelError):
            metadata.parse(path, properties)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_metadata_that_takes_long_to_parse_is_not_read(tmp_path: Path) -> None:
    folder = networks.export(tmp_path / "models" / "theirs", networks.masks)
    (folder / "metadata.yaml").write_bytes(b"a: [" + b"1," * 500_000 + b"]")
    assert "larger than 0.2 MB" in rejected(folder)


@pytest.mark.parametrize(
    "names",
    ["{0: 'it\\'s', 1: \"driver's seat\", 2: 'x'}", {0: "it's", 1: "driver's seat", 2: "x"}],
    ids=["text", "table"],
)
def test_class_names_may_contain_quotes(tmp_path: Path, names: object) -> None:
    make_bundles(tmp_path, "out", onnx=networks.colours(names=str(names)))
    assert bundles.read(tmp_path / "out").classes == ("it's", "driver's seat", "x")


@pytest.mark.parametrize(
    "text",
    ["x = " + "[" * 100_000, "head = 5", "head = 'yolox'\nlicense = \"a\\u001b\"", "head = 'yolox'\nclasses = 1"],
)
def test_a_declaration_made_to_crash_the_parser_is_rejected(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"model\.toml"):
        declared.read(tmp_path / "model.toml")


@pytest.mark.parametrize(
    "text",
    [
        NESTED_JSON,
        '{"name": 5, "configured": "a", "former": []}',
        '{"name": "../../etc", "configured": "first"}',
        '{"name": "a\\u001b", "configured": "first"}',
        '{"name": "x", "configured": "first", "former": 7}',
    ],
    ids=lambda text: str(text)[:30],
)
def test_a_damaged_activation_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / active.FILE).write_text(text, encoding="utf-8")
    assert active.read(tmp_path, "first") == active.Active("first", "first")


BUILT_FOR = {
    "gpu": "Orin", "compute": "8.7", "multiprocessors": 8, "tensorrt": "10.3", "precision": "f16", "network": "0" * 64,
    "sizes": ["640x384"],
}  # fmt: skip


def engine_bytes(header: str) -> bytes:
    return len(header).to_bytes(4, "little") + header.encode() + b"the engine"


def test_a_pipe_in_place_of_an_engine_file_has_no_header(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.engine")
    assert engine_file.read_header(tmp_path / "x.engine") is None


@pytest.mark.parametrize(
    "header",
    [
        NESTED_JSON,
        *(
            json.dumps(BUILT_FOR | change)
            for change in (
                {"multiprocessors": float("inf")},
                {"multiprocessors": -1},
                {"gpu": "x" * 5000},
                {"gpu": ["Orin"]},
                {"sizes": "640x384"},
                {"sizes": None},
            )
        ),
    ],
    ids=lambda text: str(text)[:60],
)
def test_a_damaged_engine_file_is_imported_like_any_file(folder: Path, header: str) -> None:
    """It has no header, so that it fits no device."""
    (folder / "x.engine").write_bytes(engine_bytes(header))
    assert engine_file.read_header(folder / "x.engine") is None
    bundles.write_manifest(bundles.read(folder))
    assert bundles.read(folder).engines == {}


def test_an_engine_files_header_is_read(folder: Path) -> None:
    (folder / "x.engine").write_bytes(engine_bytes(json.dumps(BUILT_FOR)))
    bundles.write_manifest(bundles.read(folder))
    assert bundles.read(folder).engines["x.engine"].sizes == ("640x384",)


@pytest.mark.parametrize("depth", [1, 200_000])
def test_malicious_xml_is_rejected(tmp_path: Path, depth: int) -> None:
    folder = networks.export(tmp_path / "models" / "theirs", networks.masks)
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    text = f'<?xml version="1.0"?><!DOCTYPE net [<!ENTITY a0 "ha">{entities}]><net name="&a11;" version="11">'
    (folder / "best.xml").write_text(text + "<layers>" * depth, encoding="utf-8")
    assert rejected(folder)


@given(key=st.sampled_from(["", "classes", "files", "fixed_size", "stride", "quantized", "engines"]), value=JSON)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_as_an_entry_is_read_or_rejected(folder: Path, good: Path, key: str, value: Any) -> None:
    manifest = manifest_of(good) | {key: value} if key else value
    (folder / bundles.MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    read_or_reject(folder)


@given(at=st.integers(0, 2000), put=st.binary(max_size=8), cut=st.integers(0, 40))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_in_a_manifest_are_read_or_rejected(folder: Path, good: Path, at: int, put: bytes, cut: int) -> None:
    data = (good / bundles.MANIFEST).read_bytes()
    at %= len(data)
    (folder / bundles.MANIFEST).write_bytes(data[:at] + put + data[at + cut :])
    read_or_reject(folder)


@given(at=st.integers(0, 2000), put=st.binary(max_size=8), cut=st.integers(0, 40), value=JSON)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_metadata_is_read_or_rejected(tmp_path: Path, at: int, put: bytes, cut: int, value: Any) -> None:
    folder = tmp_path / "theirs"
    if not folder.exists():
        networks.export(folder, networks.masks)
    names = yaml.safe_dump({"names": value}).encode() if at % 2 else b""
    data = networks.metadata_yaml(networks.CLASSES).encode() + names
    at %= len(data)
    (folder / "metadata.yaml").write_bytes(data[:at] + put + data[at + cut :])
    read_or_reject(folder)


def test_a_valid_bundle_is_read(folder: Path) -> None:
    assert isinstance(store.entries(folder.parent)["colours"], Bundle)
