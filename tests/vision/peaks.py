"""Measure the memory that decoding an image of each kind takes: `python -m tests.vision.peaks WIDTH HEIGHT`.

Each measurement runs in a separate process, forked from one that has only decoded small images, because memory that the
allocator still holds would not be counted again.
Linux only: VmHWM is the maxrss of `getrusage`, but can be reset. Prints a JSON list of [name, scale, predicted bytes,
real bytes, milliseconds, microseconds for the header].
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from appliance.vision.decode import decode, load, peak_bytes
from appliance.vision.header import read_header
from appliance.vision.letterbox import fit, input_size
from tests.vision import pictures

_MAX_PIXELS = 10**9


def kinds(width: int, height: int) -> Iterator[tuple[str, bytes]]:
    """(name, file) of every supported kind."""
    noise = np.random.default_rng(1).integers(0, 12, (height, width, 3), np.uint8)
    drawn = Image.fromarray(pictures.drawing(width, height) // 2 + noise)
    for mode in ("RGB", "RGBA", "L", "LA", "P", "1"):
        yield f"png {mode}", pictures.encode(drawn.convert(mode), "PNG", compress_level=1)
    deep = np.asarray(drawn).astype(np.uint16) * 256
    yield "png 16 bit grey", pictures.encode(Image.fromarray(deep[:, :, 0].copy()), "PNG", compress_level=1)
    yield "png 16 bit rgb", cv2.imencode(".png", deep, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    for mode in ("RGB", "RGBA"):
        yield f"webp {mode}", pictures.encode(drawn.convert(mode), "WEBP", method=0)
        yield f"webp {mode} lossless", pictures.encode(drawn.convert(mode), "WEBP", lossless=True, quality=0, method=0)
    for mode in ("RGB", "L", "CMYK"):
        for progressive in (False, True):
            kind = "progressive" if progressive else "baseline"
            yield f"jpeg {mode} {kind}", pictures.encode(drawn.convert(mode), "JPEG", progressive=progressive)
    yield "jpeg RGB progressive 4:4:4", pictures.encode(drawn, "JPEG", progressive=True, subsampling=0)
    yield "jpeg RGB turned", pictures.encode(drawn, "JPEG", exif=b"Exif\0\0" + pictures.exif(6))


def main(width: int, height: int) -> None:
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _apart(lambda: _write(folder, width, height))
        for _, data in kinds(32, 32):  # initialises the libraries
            _measured(data, whole=True)
        rows = []
        for number in sorted(path.name for path in folder.glob("*.json")):
            kind = json.loads((folder / number).read_text())
            file = (folder / number).with_suffix(".bin")
            for whole in (False, True):
                found = _apart(lambda: _measured(file.read_bytes(), whole))  # noqa: B023  # called at once
                rows.append([kind, "whole" if whole else "for the network", *found])
    print(json.dumps(rows))


def _write(folder: Path, width: int, height: int) -> list[float]:
    for number, (kind, data) in enumerate(kinds(width, height)):
        (folder / f"{number:02}.json").write_text(json.dumps(kind))
        (folder / f"{number:02}.bin").write_bytes(data)
    return []


def _measured(data: bytes, whole: bool) -> list[float]:
    header_s = min(_seconds(lambda: read_header(data, _MAX_PIXELS)) for _ in range(5))
    picture = read_header(data, _MAX_PIXELS)
    place = fit(picture.size, input_size(picture.size, 640, 32))
    predicted = peak_bytes(picture, picture.size if whole else place.inner)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    took_s = _seconds(lambda: decode(picture) if whole else load(picture, place))
    return [predicted, _status("VmHWM") - before, took_s * 1000, header_s * 1e6]


def _apart(act: Callable[[], list[float]]) -> list[float]:
    """Run this in a separate process and return its result."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.write(write, json.dumps(act()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("a measurement failed")
    numbers: list[float] = json.loads(text)
    return numbers


def _seconds(act: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    act()
    return time.perf_counter() - started_s


def _status(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
