"""Import packages: without an optional one that this process never uses, and so that Ctrl-C ends it quietly."""

from __future__ import annotations

import os
import signal
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


@contextmanager
def loading() -> Iterator[None]:
    """While modules are loaded, let Ctrl-C end the process at once, with status 0: an exception that it raises there
    may get lost, or appear as an error of the module."""
    former = signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
