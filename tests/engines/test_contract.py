"""The engine contract, run against each included engine and the fake that other tests use."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.engines import registry
from appliance.ports import Engine
from appliance.testing.engines import EngineContract
from tests.fakes import FakeEngine


class TestOpenVINO(EngineContract):
    def make(self, network: Path) -> Engine:
        return registry.create("openvino", network, precision="f32")


@pytest.mark.parametrize("hint", ["throughput", "latency"], scope="class")
class TestOnnxRuntime(EngineContract):
    hint = "throughput"

    @pytest.fixture(autouse=True)
    def _hint(self, hint: str) -> None:
        self.hint = hint

    def make(self, network: Path) -> Engine:
        pytest.importorskip("onnxruntime", reason="NOT TESTED: the extra `onnx` is not installed")
        return registry.create("onnxruntime", network, hint=self.hint)


@pytest.mark.parametrize("hint", ["throughput", "latency"], scope="class")
class TestMnn(EngineContract):
    hint = "throughput"

    @pytest.fixture(autouse=True)
    def _hint(self, hint: str) -> None:
        self.hint = hint

    def make(self, network: Path) -> Engine:
        pytest.importorskip("MNN", reason="NOT TESTED: the extra `mnn` is not installed")
        return registry.create("mnn", network, precision="f32", hint=self.hint)


class TestFake(EngineContract):
    computes = False

    def make(self, network: Path) -> Engine:
        return FakeEngine()
