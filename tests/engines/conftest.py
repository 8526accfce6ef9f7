"""A simulated Jetson, and a network for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.testing.colours import colours
from tests.engines.nvidia.jetson import Jetson


@pytest.fixture
def jetson(monkeypatch: pytest.MonkeyPatch) -> Iterator[Jetson]:
    """A simulated Jetson. At teardown all GPU memory has to be free."""
    made = Jetson(monkeypatch)
    yield made
    made.gpu.check_all_is_free()


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """The colour network as a bundle's ONNX file."""
    path = tmp_path / "gate" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(colours())
    return path
