"""Keep a few of the cameras' frames for calibrating an INT8 model, if the operator has allowed it.

Rules of this file:
- Nothing is kept unless `model.calibration_frames` is above 0. Both the number and the bytes are limited; at either
  limit, no more is kept.
- One frame every ten minutes, from whichever camera's frame comes next, so that 300 of them show day and night. The
  service's own pictures, those of the self-test, are none.
- Only what the network saw is kept: reduced to its input size, and with the camera's masks painted over. No name of a
  camera, no time.
- Decoding and writing happen on a thread, one frame at a time.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from pathlib import Path

from appliance import files
from appliance.errors import BadFrame, EngineError
from appliance.ports import Clock
from appliance.values import Detected, Frame, Outcome, Size, is_own_camera
from appliance.vision import decode, letterbox, view
from appliance.vision.admission import Admission
from appliance.vision.decoder import Decoder

log = logging.getLogger(__name__)

FOLDER = "calibration-frames"
"""In the state folder."""
_EVERY_S = 600.0
_QUALITY = 92


class CalibrationFrames:
    """Keeps frames in a folder. `most`, `max_bytes`: the limits; `max_side`: of the network's input, px."""

    def __init__(
        self,
        folder: Path,
        *,
        most: int,
        max_bytes: int,
        max_side: int,
        decoder: Decoder,
        admission: Admission,
        clock: Clock,
    ) -> None:
        self._folder, self._most, self._max_bytes, self._max_side = folder, most, max_bytes, max_side
        self._decoder, self._admission, self._clock = decoder, admission, clock
        self._next_s = clock() if most else float("inf")
        self._chosen: asyncio.Queue[Frame] = asyncio.Queue(1)

    def note(self, frame: Frame, outcome: Outcome) -> None:
        """Choose this frame if one is due. Returns at once."""
        now_s = self._clock()
        if now_s < self._next_s or is_own_camera(frame.camera) or self._chosen.full():
            return
        if not isinstance(outcome, Detected) or outcome.cached:
            return
        self._next_s = now_s + _EVERY_S
        self._chosen.put_nowait(frame)

    async def run(self) -> None:
        """Keep the chosen frames until there are enough, or the disk refuses one."""
        while self._most:
            frame = await self._chosen.get()
            try:
                if not await asyncio.to_thread(self._keep, frame):
                    log.info("there are enough calibration frames in %s; run: appliance tune", self._folder)
                    break
            except (BadFrame, EngineError):
                continue
            except OSError as error:
                log.warning("cannot keep calibration frames in %s: %s", self._folder, error.strerror)
                break
        self._next_s = float("inf")

    def _keep(self, frame: Frame) -> bool:
        """Keep one frame. False if a limit is reached. Raises BadFrame, EngineError or OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sizes = {path.name: path.stat().st_size for path in self._folder.glob("*.jpg")}
        if len(sizes) >= self._most:
            return False
        data = self._reduced(frame)
        if sum(sizes.values()) + len(data) > self._max_bytes:
            return False
        names = (f"{number:04}.jpg" for number in itertools.count())  # a person may have deleted some
        files.write(self._folder / next(name for name in names if name not in sizes), data, 0o600)
        return True

    def _reduced(self, frame: Frame) -> bytes:
        size = letterbox.fit(frame.picture.size, Size(self._max_side, self._max_side)).inner
        place = letterbox.fit(frame.picture.size, size, "stretch")
        with self._admission.admitted(frame.picture, size):
            pixels = self._decoder.load(frame.picture, place).copy()
        pixels[view.covered(frame.wanted.view, pixels.shape[:2])] = letterbox.GREY
        return decode.encode_jpeg(pixels, _QUALITY)
