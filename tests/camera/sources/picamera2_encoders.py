"""Picamera2's MJPEG encoder with a fake chip.

The real classes run: `Output`, `Encoder` and `MJPEGEncoder` with their setters, start, bitrate calculation and the path
from a request to a frame. Only the access to /dev/video11 is replaced.
"""

from __future__ import annotations

import ast
import runpy
import threading
from enum import Enum
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def real_encoders(folder: Path) -> SimpleNamespace:
    """`Output`, `Quality` and `MJPEGEncoder`, whose `bitrate` is the chip's setting. `folder`: the package."""
    space: dict[str, Any] = {
        "threading": threading, "Enum": Enum, "Fraction": Fraction, "_hw_encoder_available": True,
        "V4L2_PIX_FMT_MJPEG": "MJPG", "formats": SimpleNamespace(**runpy.run_path(str(folder / "formats.py"))),
    }  # fmt: skip
    _run(folder / "outputs/output.py", space)
    _run(folder / "encoders/encoder.py", space)
    _run(folder / "encoders/v4l2_encoder.py", space, only={"V4L2Encoder": {"__init__"}})

    def encode(encoder: Any, stream: Any, request: Any) -> None:
        """Hold the request until its picture is encoded, as the chip does."""
        request.acquire()
        encoder.outputframe(b"\xff\xd8 in hardware", True, 0)
        request.release()

    fake = {"_start": lambda encoder: None, "_stop": lambda encoder: None, "_encode": encode}
    space["V4L2Encoder"] = type("FakeChip", (space["V4L2Encoder"],), fake)
    _run(folder / "encoders/mjpeg_encoder.py", space)
    return SimpleNamespace(**{name: space[name] for name in ("MJPEGEncoder", "Output", "Quality")})


def _run(path: Path, space: dict[str, Any], only: dict[str, set[str]] | None = None) -> None:
    """Execute the classes of a file, or only these classes and methods, without its imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for kind in classes:
        if only is not None:
            kind.body = [
                node for node in kind.body if isinstance(node, ast.FunctionDef) and node.name in only[kind.name]
            ]
    exec(compile(ast.Module(list[ast.stmt](classes), []), str(path), "exec"), space)
