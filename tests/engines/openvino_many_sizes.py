"""Print the MB that a network grows by for more shapes, once it has run some: `openvino_many_sizes.py NETWORK [keep]`.

keep: with OpenVINO's own setting, by which it keeps what it made for each shape.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from appliance import heap
from appliance.engines import registry
from appliance.engines.openvino import OpenVINOEngine
from appliance.values import Size


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096 / 1e6


heap.settle()
engine = registry.create("openvino", Path(sys.argv[1]))
assert isinstance(engine, OpenVINOEngine)
if sys.argv[2:] == ["keep"]:
    compile_model = engine._core.compile_model

    def as_usual(model: Any, device: str, options: dict[str, Any]) -> Any:
        return compile_model(model, device, {k: v for k, v in options.items() if k != "CPU_RUNTIME_CACHE_CAPACITY"})

    engine._core.compile_model = as_usual
sizes = [Size(320, 32 * number) for number in range(10, 2, -1)] + [Size(32 * number, 320) for number in range(9, 2, -1)]
before = 0.0
for size in sizes:
    engine.infer(np.zeros((size.height, size.width, 3), np.uint8), lambda _: None)
    if size == sizes[4]:
        before = resident_mb()
heap.trim()
print(resident_mb() - before)
engine.close()
