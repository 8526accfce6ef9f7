"""A start of the OpenVINO engine, for its tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from appliance.engines import registry
from appliance.values import Size


def start(network: Path, **options: object) -> bool:
    """Run one inference of 32x32. Returns whether the network had to be compiled."""
    engine = registry.create("openvino", network, **options)
    compiled = engine.prepare(Size(32, 32))
    assert not engine.prepare(Size(32, 32))
    engine.infer(np.zeros((32, 32, 3), np.uint8), lambda raw: None)
    engine.close()
    return compiled
