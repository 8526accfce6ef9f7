"""Stages of a frame's way that its answer does not need: tracks, the scene gate, crops, the watch over pictures.

A fault in one of them costs a line in the log. The frame goes on without the stage, and no other frame notices. Nothing
that decides what is reported is optional: masks and zones, the engine, the reader of its output.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def optional(stage: str, camera: str) -> Iterator[None]:
    """Run a stage for a frame of this camera; log what it raises, and go on."""
    try:
        yield
    except Exception:
        log.exception(
            "a frame of camera %s goes on without %s, which failed", camera, stage,
            extra={"kind": f"without {stage}", "camera": camera, "code": "stage_failed"},
        )  # fmt: skip
