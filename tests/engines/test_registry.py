"""Engines by name, and engines that other packages register by an entry point."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from appliance.engines import registry
from appliance.errors import EngineError, ModelError
from appliance.models import bundle
from appliance.testing.colours import colours
from tests.conftest import ROOT
from tests.models.bundles import make_bundles

PROGRAM = """
from pathlib import Path
from appliance.engines import registry
print(registry.names())
print(registry.create("abacus", Path("x.beads"), threads=2).name)
print(registry.find("abacus").reads)
print(*(registry.is_built_ahead(name) for name in ("abacus", "broken", "plain")))
registry.create("broken", Path("x"))
"""
ABACUS = """
class Abacus:
    name, reads, built_ahead = "abacus", (".beads",), True

    def __init__(self, network, **options):
        assert options == {"threads": 2}

class Plain:
    reads = ()
"""


def test_an_engine_of_another_package_is_found_by_its_entry_point(tmp_path: Path) -> None:
    (tmp_path / "abacus.py").write_text(ABACUS)
    dist_info = tmp_path / "abacus-1.0.dist-info"
    dist_info.mkdir()
    (dist_info / "METADATA").write_text("Metadata-Version: 2.1\nName: abacus\nVersion: 1.0\n")
    points = ("abacus = abacus:Abacus", "plain = abacus:Plain", "broken = abacus:Nothing", "openvino = abacus:Abacus")
    (dist_info / "entry_points.txt").write_text("\n".join((f"[{registry.GROUP}]", *points, "")))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    names, name, reads, built_ahead = done.stdout.splitlines()
    assert names == "['openvino', 'onnxruntime', 'mnn', 'kserve', 'tensorrt', 'abacus', 'broken', 'plain']"
    assert (name, reads) == ("abacus", "('.beads',)")
    assert built_ahead == "True False False"
    assert "EngineError: engine 'broken' cannot be loaded" in done.stderr


def test_tensorrt_alone_of_the_included_engines_is_built_ahead() -> None:
    assert [name for name in registry.names() if registry.is_built_ahead(name)] == ["tensorrt"]


def test_an_unknown_engine_name_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(
        EngineError, match=r"unknown engine 'openvin'; known: openvino, onnxruntime.*did you mean 'openvino'"
    ):
        registry.create("openvin", tmp_path)


def test_onnx_runtime_rejects_an_unsupported_precision(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="f32 only, not bf16; set engine"):
        registry.create("onnxruntime", tmp_path / "none.onnx", precision="bf16")


@pytest.mark.parametrize("device", ["GPU", "NPU"])
def test_onnx_runtime_does_not_silently_fall_back_to_the_cpu(tmp_path: Path, device: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if device == "GPU" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has a GPU's provider")
    (tmp_path / "colours.onnx").write_bytes(colours())
    with pytest.raises(EngineError, match=f"does not support {device}") as caught:
        registry.create("onnxruntime", tmp_path / "colours.onnx", device=device)
    assert caught.value.code == "engine_device_missing"


@pytest.mark.parametrize("content", [None, b"", b"half"])
def test_onnx_runtime_rejects_a_damaged_network(tmp_path: Path, content: bytes | None) -> None:
    pytest.importorskip("onnxruntime")
    network = tmp_path / "model.onnx"
    if content is not None:
        network.write_bytes(content)
    with pytest.raises(EngineError, match="cannot be loaded") as caught:
        registry.create("onnxruntime", network)
    assert caught.value.code == "engine_failed"


def test_a_bundle_returns_the_file_an_engine_reads_or_says_how_to_make_it(tmp_path: Path) -> None:
    both = bundle.read(make_bundles(tmp_path, "both", keep_onnx=True) / "both")
    assert both.network_for((".xml", ".onnx")).name == "model.xml"
    assert both.network_for((".onnx",)).name == "model.onnx"
    one = bundle.read(make_bundles(tmp_path, "one") / "one")
    with pytest.raises(
        ModelError, match=r"one has no \.onnx file, which this engine needs\. Create one with"
    ) as caught:
        one.network_for((".onnx",))
    assert caught.value.code == "model_unsupported"


def test_the_engine_shown_in_the_docs_is_the_one_that_ships() -> None:
    ours = (ROOT / "appliance/engines/onnxruntime.py").read_text(encoding="utf-8")
    assert f"```python\n{ours}```" in (ROOT / "docs/engines.md").read_text(encoding="utf-8")
    assert len(ours.splitlines()) < 80
