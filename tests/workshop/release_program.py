"""The operator's program provisioning/release.py, called as from a shell."""

from __future__ import annotations

from tests.conftest import ROOT
from tests.program_files import imported


def release(*arguments: object) -> int:
    """Run the program; returns its exit code."""
    return int(imported(ROOT / "provisioning/release.py").main([str(argument) for argument in arguments]))
