"""Detections in picture files, one after another, without a service: what `appliance detect` does."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.config import Settings
from appliance.errors import BadFrame
from appliance.flow.inference import Network
from appliance.run import load_network, make_intake
from appliance.values import Detected, Failed, Frame, Outcome, Timing
from appliance.vision import decode, letterbox


@dataclass(frozen=True, slots=True)
class Still:
    """One picture file and what came of it: its pixels (height, width, 3, RGB) where it is a picture at all."""

    path: Path
    pixels: NDArray[np.uint8] | None
    outcome: Outcome


def detect_files(settings: Settings, paths: Iterable[Path]) -> Iterator[Still]:
    """Detections in picture files, without a service. Raises ModelError or EngineError."""
    network = load_network(settings, prepare=False)
    intake = make_intake(settings, time.monotonic)
    try:
        for path in paths:
            try:
                frame = intake.frame(path.read_bytes(), camera="file", sender="file", frame_id=str(path))
                yield Still(path, decode.decode(frame.picture), _detect_one(network, frame, settings.flow.max_side))
            except OSError as error:
                yield Still(path, None, Failed("file_unreadable", error.strerror or str(error)))
            except BadFrame as error:
                yield Still(path, None, Failed(error.code, str(error)))
    finally:
        network.engine.close()


def _detect_one(network: Network, frame: Frame, max_side: int) -> Detected:
    size = network.input_size(frame.picture.size, max_side)
    network.engine.prepare(size)
    place = letterbox.fit(frame.picture.size, size)
    started_s = time.monotonic()
    tensor = decode.load(frame.picture, place)
    decoded_s = time.monotonic()
    found = network.engine.infer(tensor, lambda raw: network.reader.read(raw, place, frame.wanted)).result()
    done_s = time.monotonic()
    decode_ms, infer_ms = (decoded_s - started_s) * 1000, (done_s - decoded_s) * 1000
    timing = Timing(0.0, round(decode_ms, 2), round(infer_ms, 2), round(decode_ms + infer_ms, 2))
    return Detected(found, frame.picture.size, size, network.info.name, timing)
