"""The operator's program provisioning/release.py, called as from a shell."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from tests.conftest import ROOT


def release(*arguments: object) -> int:
    """Run the program; returns its exit code."""
    return int(_load().main([str(argument) for argument in arguments]))


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", ROOT / "provisioning/release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
