"""A Jetson that is played, and the network that it is given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.testing.colours import colours
from tests.engines.nvidia.box import Jetson


@pytest.fixture
def jetson(monkeypatch: pytest.MonkeyPatch) -> Iterator[Jetson]:
    """Its GPU must be given back whole."""
    made = Jetson(monkeypatch)
    yield made
    made.gpu.check_all_is_free()


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """One that finds colours, as a bundle holds it for TensorRT."""
    path = tmp_path / "gate" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(colours())
    return path
