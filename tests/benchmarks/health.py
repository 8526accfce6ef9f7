"""The cost of `/health` compared with the empty `/health/live`, in turns on one connection; idle and flooded."""

from __future__ import annotations

import http.client
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.benchmarks.report import Row
from tests.benchmarks.service import Service, draw_picture, load, running

_PATHS = ("/health/live", "/health", "/metrics", "/health/history?span=day")
_ROUNDS = 300
_MOST_MS = 2.0


def run(folder: Path) -> list[Row]:
    picture = draw_picture(folder)
    with running("flow.max_side=320") as service:
        with _cameras(service, picture, "--cameras", "4", "--mode", "rate", "--rate", "0.2"):
            idle = _times_ms(service)
        with _cameras(service, picture, "--cameras", "16", "--mode", "rate", "--rate", "60"):
            flooded = _times_ms(service)
    more_ms = idle["/health"] - idle["/health/live"]
    return [
        Row(f"health: time above /health/live, of {_MOST_MS:g} ms",more_ms / _MOST_MS, 1.0, True, f"{more_ms:.2f} ms"),
        Row("health: /health / /health/live, idle", idle["/health"] / idle["/health/live"], 3.0, True, _all(idle)),
        Row("health: /health / /health/live, flooded", flooded["/health"] / flooded["/health/live"], 3.0, True,
            _all(flooded)),
    ]  # fmt: skip


def _all(times_ms: dict[str, float]) -> str:
    return "median ms: " + ", ".join(f"{path} {found_ms:.2f}" for path, found_ms in times_ms.items())


@contextmanager
def _cameras(service: Service, picture: Path, *arguments: str) -> Iterator[None]:
    """Let cameras push during the measurement."""
    with load(service.url, picture, *arguments, "--seconds", "120") as process:
        assert process.stdout is not None
        process.stdout.readline()  # started
        yield


def _times_ms(service: Service) -> dict[str, float]:
    """Median response time of each path."""
    address = urlsplit(service.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=20)
    found: dict[str, list[float]] = {path: [] for path in _PATHS}
    for _ in range(_ROUNDS):
        for path in _PATHS:
            started_s = time.perf_counter()
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, f"{path}: {answer.status}"
            found[path].append((time.perf_counter() - started_s) * 1000)
    connection.close()
    return {path: statistics.median(times) for path, times in found.items()}
