"""Picamera2's own MJPEG encoder, over a chip that is played.

The real classes run: `Output`, `Encoder` and `MJPEGEncoder` with their setters, their start, their reckoning of a
bitrate, and their way from a request to a frame. Only what talks to /dev/video11 is replaced.
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
    """`Output`, `Quality`, and `MJPEGEncoder`, whose `bitrate` is what the chip was set to. `folder`: the package."""
    space: dict[str, Any] = {
        "threading": threading, "Enum": Enum, "Fraction": Fraction, "_hw_encoder_available": True,
        "V4L2_PIX_FMT_MJPEG": "MJPG", "formats": SimpleNamespace(**runpy.run_path(str(folder / "formats.py"))),
    }  # fmt: skip
    _run(folder / "outputs/output.py", space)
    _run(folder / "encoders/encoder.py", space)
    _run(folder / "encoders/v4l2_encoder.py", space, only={"V4L2Encoder": {"__init__"}})

    def encode(encoder: Any, stream: Any, request: Any) -> None:
        """Hold the request, as the chip does, until its picture is out."""
        request.acquire()
        encoder.outputframe(b"\xff\xd8 in hardware", True, 0)
        request.release()

    played = {"_start": lambda encoder: None, "_stop": lambda encoder: None, "_encode": encode}
    space["V4L2Encoder"] = type("PlayedChip", (space["V4L2Encoder"],), played)
    _run(folder / "encoders/mjpeg_encoder.py", space)
    return SimpleNamespace(**{name: space[name] for name in ("MJPEGEncoder", "Output", "Quality")})


def _run(path: Path, space: dict[str, Any], only: dict[str, set[str]] | None = None) -> None:
    """The classes of a file, or only these with these methods, without what the file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for kind in classes:
        if only is not None:
            kind.body = [
                node for node in kind.body if isinstance(node, ast.FunctionDef) and node.name in only[kind.name]
            ]
    exec(compile(ast.Module(list[ast.stmt](classes), []), str(path), "exec"), space)
