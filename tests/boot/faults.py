"""Faults of a chip and its driver, put into a booted box: an inference that hangs, and one that leaks memory.

A .pth file loads it into each Python of the release. A fault begins when its file appears in /run/appliance; a restart
cures it, for systemd removes that folder when the service stops.
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
"""2 GB: where no limit works, the machine of the test survives."""


class _AfterOpenVINO(MetaPathFinder):
    """Wraps OpenVINO's inference as soon as somebody imports it."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name == "openvino":
            sys.meta_path.remove(self)
            import openvino

            _spoil(openvino.InferRequest)
        return None


def _spoil(request: Any) -> None:
    infer = request.infer

    def spoilt(*arguments: Any, **options: Any) -> Any:
        while HANG.exists():
            time.sleep(0.05)
        while LEAK.exists() and len(_LEAKED) < _MOST_LEAKED:
            _LEAKED.append(bytearray(os.urandom(1 << 20)) * 16)
        return infer(*arguments, **options)

    request.infer = spoilt


sys.meta_path.insert(0, _AfterOpenVINO())
