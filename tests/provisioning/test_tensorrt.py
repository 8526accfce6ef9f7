"""A system with TensorRT: the release uses it, adds its dependencies, and still serves if it is unusable.

The module is empty and there is no GPU: this does not test NVIDIA's TensorRT.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.provisioning.blank import Box, ask, booted

pytestmark = [pytest.mark.provision, pytest.mark.slow]

_MODULE = "/usr/lib/python3.10/dist-packages/tensorrt"
_CURRENT = "/opt/appliance/current"


@pytest.fixture(scope="module")
def box(can_provision: None) -> Iterator[Box]:
    with booted("jammy") as box:
        yield box


def test_the_release_uses_the_systems_tensorrt_and_the_model_has_its_onnx_file(box: Box) -> None:
    with box.network():
        box.write(f"{_MODULE}/__init__.py", "")
        code, said = box.install()
        assert code == 0, said
        assert "3.10, with TensorRT" in said
        assert box.run("readlink", _CURRENT).endswith("-tensorrt")
        program = "import tensorrt, cuda.bindings.runtime; print(tensorrt.__path__[0])"
        seen = box.run(f"{_CURRENT}/venv/bin/python", "-c", program)
        assert box.run("realpath", seen) == _MODULE
        assert "model.onnx" in box.run("ls", "/opt/appliance/models/yolo11n")
        files = box.files()
        code, said = box.install()
        assert code == 0, said
        assert box.leftovers(files) == {}


def test_without_a_gpu_openvino_serves_and_health_reports_it(box: Box) -> None:
    box.run("sed", "-i", 's/^kind = .*/kind = "tensorrt"/', "/etc/appliance/appliance.toml")
    box.run("systemctl", "restart", "appliance")
    with box.network() as port:
        answer = ask(port)
    assert [found["name"] for found in answer["detections"]] == ["stop sign"], answer
    (finding,) = [one for one in box.get("/health")[1]["findings"] if one["code"] == "engine_stand_in"]
    assert "no usable NVIDIA GPU" in finding["what"]
    code, said = box.tried("/usr/local/bin/appliance", "doctor")
    assert code == 1
    assert "no usable NVIDIA GPU" in said


def test_without_the_module_the_next_release_has_no_tensorrt(box: Box) -> None:
    box.run("rm", "-r", _MODULE)
    with box.network():
        code, said = box.install()
    assert code == 0, said
    assert not box.run("readlink", _CURRENT).endswith("-tensorrt")
    (finding,) = [one for one in box.get("/health")[1]["findings"] if one["code"] == "engine_stand_in"]
    assert "TensorRT cannot be loaded" in finding["what"]
