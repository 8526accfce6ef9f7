"""A system with TensorRT: the release uses it, adds its dependencies, and still serves if it is unusable.

The module is empty and there is no GPU: this does not test NVIDIA's TensorRT.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.provisioning.blank import FIRST_TOKEN, BlankDevice, ask, booted

pytestmark = [pytest.mark.provision, pytest.mark.slow]

_MODULE = "/usr/lib/python3.10/dist-packages/tensorrt"
_CURRENT = "/opt/appliance/current"


@pytest.fixture(scope="module")
def device(can_provision: None) -> Iterator[BlankDevice]:
    with booted("jammy") as device:
        yield device


def test_the_release_uses_the_systems_tensorrt_and_the_model_has_its_onnx_file(device: BlankDevice) -> None:
    with device.network():
        device.write(f"{_MODULE}/__init__.py", "")
        code, output = device.install()
        assert code == 0, output
        assert "3.10, with TensorRT" in output
        assert device.run("readlink", _CURRENT).endswith("-tensorrt")
        program = "import tensorrt, cuda.bindings.runtime; print(tensorrt.__path__[0])"
        seen = device.run(f"{_CURRENT}/venv/bin/python", "-c", program)
        assert device.run("realpath", seen) == _MODULE
        assert "model.onnx" in device.run("ls", "/opt/appliance/models/yolo11n")
        files = device.files()
        code, output = device.install()
        assert code == 0, output
        assert device.leftovers(files) == {}


def test_without_a_gpu_openvino_serves_and_health_reports_it(device: BlankDevice) -> None:
    device.run("sed", "-i", 's/^kind = .*/kind = "tensorrt"/', "/etc/appliance/appliance.toml")
    device.run("systemctl", "restart", "appliance")
    with device.network() as port:
        answer = ask(port, device.run("cat", FIRST_TOKEN).strip())
    assert [found["name"] for found in answer["detections"]] == ["stop sign"], answer
    (finding,) = [one for one in device.get("/health")[1]["findings"] if one["code"] == "engine_stand_in"]
    assert "no usable NVIDIA GPU" in finding["what"]
    code, output = device.tried("/usr/local/bin/appliance", "doctor")
    assert code == 1
    assert "no usable NVIDIA GPU" in output


def test_without_the_module_the_next_release_has_no_tensorrt(device: BlankDevice) -> None:
    device.run("rm", "-r", _MODULE)
    with device.network():
        code, output = device.install()
    assert code == 0, output
    assert not device.run("readlink", _CURRENT).endswith("-tensorrt")
    (finding,) = [one for one in device.get("/health")[1]["findings"] if one["code"] == "engine_stand_in"]
    assert "TensorRT cannot be loaded" in finding["what"]
