"""The run time of networks: of each group of layers, from OpenVINO's performance counters, and of one inference.

INT8 is not always faster: converting activations back and forth can cost more than it saves. The networks run
alternately and the minimum counts, which removes most of the influence of other load. The counters measure elapsed
time, which is enough to find suspects; decisions use the CPU time of whole inferences, which other load affects least.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True, slots=True)
class LayerTimer:
    """Measures networks at one input size."""

    size: Size
    device: str
    threads: int

    def by_group(self, networks: Sequence[Path]) -> list[dict[str, float]]:
        """The elapsed time of each group in each network, ms; "" for operations without a group."""
        requests = [self._request(network, counters=True) for network in networks]
        least: list[dict[str, float]] = [{} for _ in networks]
        for _ in range(_TURNS):
            for request, times in zip(requests, least, strict=True):
                request.infer({0: self._tensor()})
                for node in request.profiling_info:
                    took_ms = node.real_time.total_seconds() * 1000
                    if took_ms:
                        times[node.node_name] = min(took_ms, times.get(node.node_name, float("inf")))
        return [_by_group(times) for times in least]

    def of_inference(self, networks: Sequence[Path]) -> list[float]:
        """The CPU time of one inference of each network, ms; elapsed time on other devices."""
        clock = time.process_time if self.device == "CPU" else time.perf_counter
        requests = [self._request(network, counters=False) for network in networks]
        tensor, least = self._tensor(), [float("inf") for _ in networks]
        for _ in range(_TURNS):
            for place, request in enumerate(requests):
                started_s = clock()
                request.infer({0: tensor})
                least[place] = min(least[place], 1000 * (clock() - started_s))
        return least

    def _tensor(self) -> NDArray[np.float32]:
        return np.random.default_rng(0).random((1, 3, self.size.height, self.size.width), np.float32)

    def _request(self, network: Path, *, counters: bool) -> Any:
        import openvino

        core = openvino.Core()
        model = core.read_model(network)
        model.reshape([1, 3, self.size.height, self.size.width])
        options: dict[str, Any] = {"PERF_COUNT": counters, "PERFORMANCE_HINT": "LATENCY"}
        if self.device == "CPU" and self.threads:
            options["INFERENCE_NUM_THREADS"] = self.threads
        return core.compile_model(model, self.device, options).create_infer_request()


def _is_slower(before: float | None, now: float | None, worth: float) -> bool:
    return before is not None and now is not None and now > _SLOWER * before and now - before > worth


def _by_group(times: dict[str, float]) -> dict[str, float]:
    head = head_of(times)
    total: dict[str, float] = defaultdict(float)
    for name, took_ms in times.items():
        total[group_of(name, head) or ""] += took_ms
    return dict(total)
