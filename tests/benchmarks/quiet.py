"""Four quiet cameras with the scene gate, crops and tracks, compared with one camera of which every frame is inferred.

The scenes are the drawn street, with other noise in each frame; one has a sign that moves for a tenth of the time. CPU
time of the decoding and the inference, in one process with a simulated clock; the two sides alternate second by second.
The first twenty seconds are not counted: meanwhile the device learns each camera's noise.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.flow.crops.crops import Crops
from appliance.flow.inference import Inference, Network
from appliance.flow.scene_gate import LastScene, SceneGate
from appliance.flow.tracks import CameraTracks, Tracks
from appliance.service.loading import load_network
from appliance.settings import loader
from appliance.settings.schema.flow import FlowSettings
from appliance.values import Frame, ResultFilter, Size
from appliance.vision import decode, scene
from tests.benchmarks.report import Row

SIZE, FPS = Size(1280, 720), 5
SECONDS, LEARNING_S = 60, 20
CAMERAS = 4


@dataclass(slots=True)
class Side:
    """Some cameras and how their frames run."""

    inference: Inference
    scenes: list[LastScene | None]
    tracks: list[CameraTracks] | None
    spent_s: float = 0.0
    frames: int = 0
    held: int = 0

    def run(self, camera: int, number: int, data: bytes, max_side: int, *, counts: bool) -> None:
        started_s = time.process_time()
        picture = decode.read_header(data, SIZE.width * SIZE.height)
        frame = Frame(f"camera {camera}", "bench", number, picture, ResultFilter(0.25), number / FPS)
        answer = self.inference.run(frame, max_side, self.scenes[camera])
        self.scenes[camera] = answer.scene or self.scenes[camera]
        if self.tracks is not None:
            self.tracks[camera].follow(answer.detected, frame.received_s)
        if counts:
            self.spent_s += time.process_time() - started_s
            self.frames += 1
            self.held += bool(answer.detected.cached)


def run(_: Path) -> list[Row]:
    settings = loader.load(None, {}, {"profile": "realtime", "flow.crops": "auto"})
    network = load_network(settings)
    try:
        return [_compare(network, settings.flow)]
    finally:
        network.close()


def _compare(network: Network, flow: FlowSettings) -> Row:
    now_s = 0.0
    gate, tracks = SceneGate(flow.refresh_s, flow.gate_audits, seed=1), Tracks(5.0, clock=lambda: now_s)
    together = Inference(network, clock=lambda: now_s, gate=gate, crops=Crops(network.placing))
    four = Side(together, [None] * CAMERAS, [tracks.camera() for _ in range(CAMERAS)])
    one = Side(Inference(network, clock=lambda: now_s), [None], None)
    for side in (flow.max_side, flow.max_side // 2):
        network.engine.prepare(network.sizes.best(SIZE, side))
    random = np.random.default_rng(5)
    noises = [random.normal(0, 2 + camera, (SIZE.height, SIZE.width, 3)).astype(np.int16) for camera in range(CAMERAS)]
    for number in range(SECONDS * FPS):
        now_s, counts = number / FPS, number >= LEARNING_S * FPS
        pictures = [_picture(random, noises[camera], camera, now_s) for camera in range(CAMERAS)]
        for camera, data in enumerate(pictures):
            four.run(camera, number, data, flow.max_side, counts=counts)
        one.run(0, number, pictures[0], flow.max_side, counts=counts)
    detail = (
        f"{four.spent_s:.1f}/{one.spent_s:.1f} s for {four.frames} and {one.frames} frames; "
        f"{four.held / four.frames:.2f} of the four's held"
    )
    return Row("quiet: CPU time of four cameras / one without", four.spent_s / one.spent_s, 1.5, True, detail)


def _picture(random: np.random.Generator, noise: NDArray[np.int16], camera: int, at_s: float) -> bytes:
    moves = camera == 0 and at_s % 20 < 2
    pixels = _street(0.3 + 0.1 * camera + (0.05 * (at_s % 20) if moves else 0.0))
    shifted = np.roll(noise, int(random.integers(0, SIZE.height)), axis=0)
    return decode.encode_jpeg(np.asarray(cv2.add(pixels, shifted, dtype=cv2.CV_8U), np.uint8), 80)


@lru_cache(maxsize=16)
def _street(at: float) -> NDArray[np.uint8]:
    return scene.draw(SIZE, at=at)[0]
