"""Simulated driver faults for a booted device: an inference that hangs, and one that leaks memory.

A .pth file loads this module into each Python process of the release. A fault starts when its file appears in
/run/appliance. A restart ends it, because systemd removes that folder when the service stops.
"""

import os
import sys
import time
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

HANG, LEAK = Path("/run/appliance/hang"), Path("/run/appliance/leak")
_LEAKED: list[bytearray] = []
_MOST_LEAKED = 128
"""2 GB: if no limit is enforced, the test machine survives."""


class _AfterOpenVINO(MetaPathFinder):
    """Wraps OpenVINO's inference when it is imported."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name == "openvino":
            sys.meta_path.remove(self)
            import openvino

            _add_faults(openvino.InferRequest)
        return None


def _add_faults(request: Any) -> None:
    infer = request.infer

    def faulty(*arguments: Any, **options: Any) -> Any:
        while HANG.exists():
            time.sleep(0.05)
        while LEAK.exists() and len(_LEAKED) < _MOST_LEAKED:
            _LEAKED.append(bytearray(os.urandom(1 << 20)) * 16)
        return infer(*arguments, **options)

    request.infer = faulty


sys.meta_path.insert(0, _AfterOpenVINO())
