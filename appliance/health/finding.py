"""A finding: one problem of the device, for a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias


class Severity(str, Enum):
    """Severity of a finding; the worst finding determines the state of the device."""

    INFO = "info"
    DEGRADED = "degraded"
    CRITICAL = "critical"


FindingValue: TypeAlias = str | float | tuple[str, ...]
"""What a finding says about this case: a figure, a word, or names. The last part of its name is its unit."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem, described for a technician on site: what is wrong, and what to do."""

    code: str
    severity: Severity
    what: str
    do: str
    since_s: float
    """Monotonic."""
    case: str = ""
    """Which of the code's texts this is; empty for a code that has one."""
    values: Mapping[str, FindingValue] = field(default_factory=dict)
    """What the text says about this case; the last part of a name is its unit."""
