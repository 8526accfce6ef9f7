"""Memory used for decoding each kind of image, compared with the service's prediction from the header.

The prediction decides whether a picture is accepted: if it is below the real peak, the kernel may end the service; if
it is far above, pictures are refused that could be decoded. `PIXELS=8000x5000` in the environment measures another
size.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.report import Row
from tests.benchmarks.service import ROOT

_PIXELS = os.environ.get("PIXELS", "4000x3000")


def run(folder: Path) -> list[Row]:
    width, height = map(int, _PIXELS.split("x"))
    command = [sys.executable, "-m", "tests.vision.peaks", str(width), str(height)]
    found = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=600).stdout)
    rows = []
    for kind, scale, predicted, real, took_ms, header_us in found:
        detail = (
            f"{predicted / 1e6:.0f} MB predicted, {real / 1e6:.0f} real, {real / width / height:.1f} bytes a pixel; "
            f"{took_ms:.0f} ms, header {header_us:.0f} µs"
        )
        rows.append(Row(f"{kind}, {scale}: predicted/real", predicted / max(1, real), 1.0, False, detail))
    return rows
