"""MNN beyond the engine contract: conversion, and what its native code prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from appliance.engines import registry
from appliance.engines.mnn import convert as mnn
from appliance.errors import EngineError
from appliance.models import bundle
from appliance.testing.colours import colours, expected
from appliance.testing.engines import kept, noise
from appliance.values import Size
from appliance.workshop import onnx_bundle

pytest.importorskip("MNN", reason="NOT TESTED: the extra `mnn` is not installed")

SIZE = Size(64, 32)


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    path = tmp_path / "colours.onnx"
    path.write_bytes(colours())
    return path


def test_a_bundle_with_an_onnx_file_holds_the_converted_network_and_its_hash(onnx: Path, tmp_path: Path) -> None:
    made = onnx_bundle.build(onnx, tmp_path / "colours", "a test", keep_onnx=True)
    assert set(made.files) == {"model.bin", "model.mnn", "model.onnx", "model.xml"}
    converted = made.network_for(registry.find("mnn").reads)
    assert converted.name == "model.mnn"
    engine = registry.create("mnn", converted, precision="f32")
    np.testing.assert_allclose(engine.infer(noise(SIZE, 1), kept), expected(noise(SIZE, 1)), atol=1e-3)
    engine.close()
    bundle.verify(made)


def test_a_network_that_cannot_be_converted_is_an_error(tmp_path: Path) -> None:
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"no network")
    with pytest.raises(EngineError, match=r"MNN cannot convert .*junk\.onnx: .*read onnx model failed"):
        mnn.convert(junk, tmp_path / "junk.mnn")


@pytest.mark.parametrize("cut", [0, 100, 1000])
def test_a_damaged_network_is_an_error(onnx: Path, tmp_path: Path, cut: int) -> None:
    whole, damaged = tmp_path / "whole.mnn", tmp_path / "damaged.mnn"
    mnn.convert(onnx, whole)
    damaged.write_bytes(whole.read_bytes()[:cut])
    with pytest.raises(EngineError, match=r"damaged\.mnn cannot be loaded"):
        registry.create("mnn", damaged)


@pytest.mark.parametrize("wanted", ["bf16", "f16"])
def test_a_precision_that_the_processor_lacks_is_an_error(
    onnx: Path, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(EngineError, match=f"MNN cannot compute in {wanted} on this processor"):
        registry.create("mnn", onnx, precision=wanted)


def test_another_device_than_the_cpu_is_missing(onnx: Path) -> None:
    with pytest.raises(EngineError) as caught:
        registry.create("mnn", onnx, device="GPU")
    assert caught.value.code == "engine_device_missing"


def test_what_its_native_code_prints_stays_out_of_standard_output(onnx: Path) -> None:
    code = f"""
import numpy as np
from appliance.engines import registry
engine = registry.create("mnn", __import__("pathlib").Path({str(onnx)!r}))
for side in (32, 64):
    engine.infer(np.zeros((side, side, 3), np.uint8), len, all_cores=side == 32)
print("ours")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "ours\n"
