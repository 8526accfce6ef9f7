"""OpenVINO alone: what can be missing or broken before it runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino
import pytest

from appliance.engines import registry
from appliance.errors import EngineError
from appliance.values import Size
from tests.conftest import ROOT
from tests.models import networks


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return networks.save_ir(networks.colours(), tmp_path / "model.xml")


def start(network: Path, **options: object) -> bool:
    """Whether it had to compile."""
    engine = registry.create("openvino", network, **options)
    compiled = engine.prepare(Size(32, 32))
    assert not engine.prepare(Size(32, 32))
    engine.infer(np.zeros((32, 32, 3), np.uint8), lambda raw: None)
    engine.close()
    return compiled


@pytest.mark.parametrize("device", ["GPU", "GPU.1", "NPU"])
def test_a_device_that_is_not_there_is_named_with_what_is(network: Path, device: str) -> None:
    if any(found.startswith(device[:3]) for found in openvino.Core().available_devices):
        pytest.skip(f"this machine has a {device}")
    with pytest.raises(EngineError, match=rf"no {device} here, only .*CPU.*engine\.device") as caught:
        registry.create("openvino", network, device=device)
    assert caught.value.code == "engine_device_missing"


@pytest.mark.parametrize(
    "options",
    [
        {"device": "AUTO"},
        {"device": "AUTO:CPU"},
        {"hint": "latency"},
        {"threads": 1},
        {"precision": "f32"},
    ],
    ids=str,
)
def test_every_setting_of_the_engine_runs(network: Path, options: dict[str, object]) -> None:
    start(network, **options)


@pytest.mark.parametrize("content", [b"", b"<net", b"<?xml version='1.0'?><net name='x' version='11'/>"], ids=repr)
def test_a_damaged_network_is_an_engine_error(network: Path, content: bytes) -> None:
    network.write_bytes(content)
    with pytest.raises(EngineError, match=r"model\.xml cannot be loaded: .") as caught:
        registry.create("openvino", network)
    assert caught.value.code == "engine_failed"


@pytest.mark.parametrize("content", [None, b"", b"half"])
def test_damaged_or_missing_weights_are_an_engine_error(network: Path, content: bytes | None) -> None:
    weights = network.with_suffix(".bin")
    weights.unlink() if content is None else weights.write_bytes(content)
    with pytest.raises(EngineError) as caught:
        start(network)
    assert caught.value.code == "engine_failed"


def test_a_network_that_is_not_there_is_an_engine_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be loaded"):
        registry.create("openvino", tmp_path / "none.xml")


def test_a_network_of_one_size_has_all_cores_as_well(tmp_path: Path) -> None:
    engine = registry.create("openvino", networks.save_ir(networks.colours(Size(128, 96)), tmp_path / "model.xml"))
    engine.prepare(Size(128, 96))
    tensor = np.full((96, 128, 3), 200, np.uint8)
    for all_cores in (False, True):
        raw = engine.infer(tensor, lambda raw: np.array(raw[0]), all_cores=all_cores)
        np.testing.assert_allclose(raw, networks.expected(tensor), atol=0.02)
    assert engine.ready() == (Size(128, 96), None)
    engine.close()


def test_an_input_that_the_network_cannot_take_is_an_engine_error(network: Path) -> None:
    engine = registry.create("openvino", network)
    with pytest.raises(EngineError, match="cannot compile the model for CPU at 8x8"):
        engine.prepare(Size(8, 8))  # its pooling needs 32
    engine.prepare(Size(32, 32))
    engine.close()


def test_what_was_compiled_is_kept_for_the_next_start(network: Path, tmp_path: Path) -> None:
    cache = tmp_path / "deep" / "compiled"
    assert start(network, cache=cache)
    (kept,) = cache.glob("*.blob")
    before = kept.stat().st_mtime_ns
    assert not start(network, cache=cache)
    assert [file.stat().st_mtime_ns for file in cache.glob("*.blob")] == [before]


@pytest.mark.parametrize("content", [b"", b"half", None])
def test_a_damaged_cache_costs_a_compilation_and_nothing_else(
    network: Path, tmp_path: Path, content: bytes | None
) -> None:
    start(network, cache=tmp_path / "compiled")
    (kept,) = (tmp_path / "compiled").glob("*.blob")
    kept.chmod(0o600)
    kept.write_bytes(kept.read_bytes()[:-100] if content is None else content)
    start(network, cache=tmp_path / "compiled")


def test_the_cache_is_bounded(network: Path, tmp_path: Path) -> None:
    engine = registry.create("openvino", network, cache=tmp_path)
    for number in range(1, 21):
        engine.prepare(Size(32 * number, 32))
    assert len(list(tmp_path.glob("*.blob"))) == 16
    engine.close()


def test_a_folder_that_cannot_be_written_means_no_cache(network: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    start(network, cache=tmp_path / "file" / "compiled")


_WHAT_IS_IMPORTED = """
import sys
from pathlib import Path
from appliance.engines import registry

registry.create("openvino", Path(sys.argv[1])).close()
assert not [name for name in sys.modules if name.startswith("openvino.tools") or "telemetry" in name]
import openvino.tools.ovc  # whoever needs it has it
"""


def test_the_engine_loads_nothing_that_converts_models_or_counts_users(network: Path) -> None:
    subprocess.run([sys.executable, "-c", _WHAT_IS_IMPORTED, str(network)], check=True, timeout=60, cwd=ROOT)


_FIRST_AT_ONCE = """
import sys, threading
from pathlib import Path
import openvino
from appliance.engines import registry

registry.create("openvino", Path(sys.argv[1]))
together = threading.Barrier(4)

def work():
    together.wait()
    openvino.Type.u8.to_dtype()  # as each inference does

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_the_first_inferences_of_a_process_may_come_at_once(network: Path) -> None:
    """OpenVINO 2026.4.1 froze there, GIL and all, in about half of all tries."""
    for _ in range(6):
        subprocess.run([sys.executable, "-c", _FIRST_AT_ONCE, str(network)], check=True, timeout=30, cwd=ROOT)
