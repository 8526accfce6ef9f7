"""The run time of each group of layers in two networks, from OpenVINO's performance counters.

INT8 is not always faster: converting activations back and forth can cost more than it saves. The networks run
alternately and the minimum time of each operation counts, which removes the influence of other load.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from appliance.values import Size
from appliance.workshop.quantize.layers import LayerGroup, group_of, head_of

_TURNS = 60
_SLOWER = 1.1
_WORTH = 0.005
"""The share of the total time that a group must lose to be worth a trial."""


def slower(
    original: dict[str, float], quantized: dict[str, float], candidates: Sequence[LayerGroup]
) -> list[LayerGroup]:
    """The groups that are at least 10 % slower in the second network, and by 0.5 % of its time; the slowest first."""
    worth = _WORTH * sum(quantized.values())
    found = [group for group in candidates if _is_slower(original.get(group.name), quantized.get(group.name), worth)]
    return sorted(found, key=lambda group: original[group.name] - quantized[group.name])


def measure(networks: Sequence[Path], size: Size, device: str, threads: int) -> list[dict[str, float]]:
    """The time of each group in each network at this input size, ms; "" for operations without a group."""
    requests = [_request(network, size, device, threads) for network in networks]
    least: list[dict[str, float]] = [{} for _ in networks]
    tensor = np.random.default_rng(0).random((1, 3, size.height, size.width), np.float32)
    for _ in range(_TURNS):
        for request, times in zip(requests, least, strict=True):
            request.infer({0: tensor})
            for node in request.profiling_info:
                took_ms = node.real_time.total_seconds() * 1000
                if took_ms:
                    times[node.node_name] = min(took_ms, times.get(node.node_name, float("inf")))
    return [_by_group(times) for times in least]


def _is_slower(before: float | None, now: float | None, worth: float) -> bool:
    return before is not None and now is not None and now > _SLOWER * before and now - before > worth


def _request(network: Path, size: Size, device: str, threads: int) -> Any:
    import openvino

    core = openvino.Core()
    model = core.read_model(network)
    model.reshape([1, 3, size.height, size.width])
    options: dict[str, Any] = {"PERF_COUNT": "YES", "PERFORMANCE_HINT": "LATENCY"}
    if device == "CPU" and threads:
        options["INFERENCE_NUM_THREADS"] = threads
    return core.compile_model(model, device, options).create_infer_request()


def _by_group(times: dict[str, float]) -> dict[str, float]:
    head = head_of(times)
    total: dict[str, float] = defaultdict(float)
    for name, took_ms in times.items():
        total[group_of(name, head) or ""] += took_ms
    return dict(total)
