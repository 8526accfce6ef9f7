"""Pictures and programs for the tests of exports and quantization."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from appliance.values import Size
from appliance.vision import decode


def make_pictures(folder: Path, count: int, size: Size = Size(64, 32)) -> Path:
    """Write JPEG pictures 000.jpg, 001.jpg … and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.full((size.height, size.width, 3), (250, 10, 10 * number % 250), np.uint8)
        (folder / f"{number:03}.jpg").write_bytes(decode.encode_jpeg(pixels, 90))
    return folder


def python_that(tmp_path: Path, program: str) -> Path:
    """A fake for the environment's Python, which runs this program instead of its arguments."""
    (tmp_path / "program.py").write_text(program)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path / "program.py"} "$@"\n')
    python.chmod(0o755)
    return python
