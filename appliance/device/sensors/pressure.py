"""Pressure stall information: how much of the time tasks waited for a resource (Documentation/accounting/psi.rst)."""

from __future__ import annotations

import re
from pathlib import Path

from appliance.device import kernel_files

_SOME = re.compile(r"^some avg10=(\d{1,3}\.\d{1,2}) ", re.MULTILINE | re.ASCII)
REASON = "this kernel does not measure pressure (PSI), or needs psi=1 on its command line"


def percent(path: Path) -> float | None:
    """Percentage of the last 10 s in which some task waited."""
    some = _SOME.search(kernel_files.text(path) or "")
    return kernel_files.within(float(some[1]), 0.0, 100.0) if some else None
