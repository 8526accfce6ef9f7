"""Garbage collection: how long a full collection stops the service, with and without `heap.freeze`.

In one process that has imported what the service imports. Each side is the median of several collections, in turns.
"""

from __future__ import annotations

import gc
import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from tests.benchmarks.report import Row
from tests.benchmarks.service import ROOT

_TURNS = 11
_MOST = 0.2


def run(folder: Path) -> list[Row]:
    done = subprocess.run([sys.executable, "-m", __name__], cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=300)
    found = json.loads(done.stdout)
    detail = f"{found['frozen_ms']:.1f} of {found['whole_ms']:.1f} ms, {found['objects']} objects"
    return [Row("pauses: a full collection, ratio to all objects", found["frozen_ms"] / found["whole_ms"], _MOST, True,
                detail)]  # fmt: skip


def _main() -> None:
    from appliance import heap

    importlib.import_module("appliance.service.supervise")
    whole_ms, frozen_ms = list[float](), list[float]()
    for _ in range(_TURNS):
        gc.unfreeze()
        objects = len(gc.get_objects())
        whole_ms.append(_collection_ms())
        heap.freeze()
        frozen_ms.append(_collection_ms())
    print(json.dumps({"objects": objects, "whole_ms": median(whole_ms), "frozen_ms": median(frozen_ms)}))


def _collection_ms() -> float:
    started_s = time.perf_counter()
    gc.collect()
    return (time.perf_counter() - started_s) * 1000


if __name__ == "__main__":
    _main()
