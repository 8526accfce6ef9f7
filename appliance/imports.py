"""Import a package without an optional one that it loads but this process never uses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_BLOCKED: Any = None
"""The value in `sys.modules` that makes Python refuse to import a module."""


@contextmanager
def without(module: str) -> Iterator[None]:
    """Meanwhile importing this module fails, as if it were not installed, unless it is loaded already."""
    hidden = sys.modules.setdefault(module, _BLOCKED) is _BLOCKED
    try:
        yield
    finally:
        if hidden:
            sys.modules.pop(module, None)
