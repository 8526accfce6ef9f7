"""The content of a bundle; one for a Jetson also contains the files that TensorRT needs."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from appliance.models import bundle as bundles
from appliance.testing.colours import colours
from appliance.workshop import known_models
from tests.conftest import ROOT
from tests.models.bundles import make_bundles
from tests.program_files import imported

make_bundle = imported(ROOT / "provisioning/bundle.py")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A custom model without its ONNX file."""
    return make_bundles(tmp_path, "gate") / "gate"


@pytest.mark.parametrize(
    ("arch", "python", "jetson"),
    [("arm64", "3.10", True), ("arm64", "3.12", True), ("arm64", "3.11", False), ("amd64", "3.10", False)],
)
def test_an_arm64_bundle_for_a_python_of_ubuntu_is_for_a_jetson(arch: str, python: str, jetson: bool) -> None:
    assert make_bundle.for_jetson(arch, python) is jetson


def test_arm64_gets_mnn_and_a_jetson_the_bindings_of_cuda() -> None:
    found = [make_bundle.extras_for(*one) for one in (("amd64", "3.11"), ("arm64", "3.11"), ("arm64", "3.10"))]
    assert found == ["mdns,site,kserve", "mdns,site,kserve,mnn", "mdns,site,kserve,mnn,tensorrt"]


def test_cuda_packages_have_a_requirements_file_of_their_own_and_all_are_pinned_by_hash(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("cuda_bindings-12.9.10-cp310-cp310-linux_aarch64", "cuda_pathfinder-1.9.0-py3-none-any",
                 "numpy-2.2.6-cp310-cp310-linux_aarch64"):  # fmt: skip
        (wheels / f"{name}.whl").write_text(name)
    make_bundle.write_requirements(wheels, tmp_path)
    (numpy,) = (tmp_path / "requirements.txt").read_text().splitlines()
    digest = hashlib.sha256(b"numpy-2.2.6-cp310-cp310-linux_aarch64").hexdigest()
    assert numpy == f"numpy==2.2.6 --hash=sha256:{digest}"
    lines = (tmp_path / "requirements-tensorrt.txt").read_text().splitlines()
    assert [line.partition(" --hash=")[0] for line in lines] == ["cuda_bindings==12.9.10", "cuda_pathfinder==1.9.0"]


def test_without_cuda_packages_there_are_no_requirements_for_tensorrt(tmp_path: Path) -> None:
    (tmp_path / "numpy-2.2.6-cp311-cp311-linux_aarch64.whl").touch()
    make_bundle.write_requirements(tmp_path, tmp_path)
    assert not (tmp_path / "requirements-tensorrt.txt").exists()


def test_a_model_goes_along_as_it_is(model: Path, tmp_path: Path) -> None:
    make_bundle.put_model(model, tmp_path / "out", onnx=False)
    assert bundles.read(tmp_path / "out" / "gate").files == bundles.read(model).files


def test_the_int8_version_of_the_model_goes_along(model: Path, tmp_path: Path) -> None:
    make_bundle.put_int8(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    version = model.with_name("gate-int8")
    shutil.copytree(model, version)
    make_bundle.put_int8(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()  # not made from this model
    manifest = json.loads((version / "manifest.json").read_text()) | {"name": "gate-int8", "precision": "int8"}
    manifest["quantized"] = {"made_from": "gate", "measure": "likeness", "points_before": 100.0, "points_after": 99.5,
                             "judged_by": 32, "calibrated_by": 32, "floating": []}  # fmt: skip
    (version / "manifest.json").write_text(json.dumps(manifest))
    make_bundle.put_int8(model, tmp_path / "out")
    assert bundles.read(tmp_path / "out/gate-int8").precision == "int8"


def test_a_model_without_an_available_onnx_file_is_bundled_with_a_warning(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_bundle.put_model(model, tmp_path / "out", onnx=True)
    assert bundles.read(tmp_path / "out" / "gate").files == bundles.read(model).files
    assert "gate has no model.onnx" in capsys.readouterr().err


def test_one_that_has_its_onnx_file_takes_it_along(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_bundles(tmp_path, "gate", keep_onnx=True)
    make_bundle.put_model(tmp_path / "gate", tmp_path / "out", onnx=True)
    assert (tmp_path / "out" / "gate" / "model.onnx").read_bytes() == colours()
    assert capsys.readouterr().err == ""


@pytest.mark.provision
def test_the_default_model_gets_the_onnx_file_that_it_was_made_of(models_dir: Path, tmp_path: Path) -> None:
    make_bundle.put_model(models_dir / known_models.DEFAULT, tmp_path, onnx=True)
    made = bundles.read(tmp_path / known_models.DEFAULT)
    manifest = json.loads((models_dir / known_models.DEFAULT / "manifest.json").read_text())
    assert made.source == manifest["source"]
    digests = {source.title: source.sha256 for source in known_models.YOLO11N.sources}
    assert made.files["model.onnx"] == digests[made.source]


@pytest.mark.parametrize(("python", "numpy"), [("3.10", "2.2.6"), ("3.11", "2.4.6"), ("3.13", "2.5.5")])
def test_the_lock_file_names_one_version_of_each_package_for_each_python(python: str, numpy: str) -> None:
    lines = make_bundle.constraints_for(python)
    names = [line.partition("==")[0] for line in lines]
    assert len(names) == len(set(names))
    assert not [line for line in lines if ";" in line]
    versions = dict(line.split("==") for line in lines)
    assert versions["numpy"].split(".")[0] == numpy.split(".")[0]
    assert {"aiohttp", "openvino", "cryptography", "zeroconf"} <= set(versions)


def test_a_wheel_that_the_lock_file_does_not_know_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    good, bad = tmp_path / "Good_one-1.0-py3-none-any.whl", tmp_path / "bad-1.0-py3-none-any.whl"
    for wheel in (good, bad):
        wheel.write_text(wheel.name)
    digest = hashlib.sha256(good.name.encode()).hexdigest()
    lock.write_text(
        f"good-one==1.0 ; python_version < '4' \\\n    --hash=sha256:{digest}\nbad==1.0 \\\n    --hash=sha256:00\n"
    )
    requirements, digests = make_bundle.locked.read(lock)
    assert requirements == ["good-one==1.0 ; python_version < '4'", "bad==1.0"]
    assert make_bundle.locked.unknown(tmp_path, digests, set()) == [bad.name]
    assert make_bundle.locked.unknown(tmp_path, digests, {"bad"}) == []
    assert make_bundle.locked.main(["verify", str(lock), str(tmp_path)]) == 1


def test_every_dependency_is_in_the_lock_file() -> None:
    """`make lock` brings it up to date."""
    import re
    import sys

    if sys.version_info < (3, 11):
        pytest.skip("reads pyproject.toml with tomllib")
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for name in ("mdns", "camera", "onnx", "tensorrt")
                                          for one in project["optional-dependencies"][name])]  # fmt: skip
    locked = set(make_bundle.locked.read(make_bundle.LOCK)[1])
    assert {make_bundle.locked.plain(re.split(r"[<>=~;\[ ]", one)[0]) for one in wanted} <= locked


def test_the_lock_file_names_no_registry() -> None:
    assert "http:" not in (text := make_bundle.LOCK.read_text())
    assert "https:" not in text
