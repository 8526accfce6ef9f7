"""A Raspberry Pi CSI camera through Picamera2, which the system provides.

Rules of this file:
- The image signal processor scales to the requested size, so the CPU does not. The sensor mode always covers the full
  field of view: by default Picamera2 would choose a small, cropped mode for a small picture.
- A request is held during encoding and released at once: the camera has four and stops without a free one. For the same
  reason a wait that times out is cancelled: otherwise it would take a request later that is never released.
- JPEG is encoded in hardware if Picamera2 has an encoder for the board (up to the Pi 4), otherwise from the YUV planes.
- The tests check names and signatures against Picamera2's source. It has not run on a board yet.
"""

from __future__ import annotations

import concurrent.futures
import queue
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from appliance.camera.sources import jpeg
from appliance.camera.sources.source import PATIENCE_S, Capture
from appliance.errors import SourceError
from appliance.ports import Clock
from appliance.values import CameraLimits, Size

_SHORTEST_US, _LONGEST_US = 33_333, 100_000
"""Frame duration of the sensor. Never longer: automatic exposure would use it and blur moving objects."""
_NOMINAL_FPS = 30.0
"""The frame rate from which Picamera2 computes the bitrate. It sets it itself only for video recording."""
_STEPS = ((25, "VERY_LOW"), (35, "LOW"), (50, "MEDIUM"), (65, "HIGH"), (80, "VERY_HIGH"))
"""The JPEG quality of each of Picamera2's quality levels; the hardware encoder supports only these levels."""


class PicameraSource:
    """The camera with this number in `rpicam-hello --list-cameras`. `library`: Picamera2; None imports it.

    Raises SourceError: picamera_missing, picamera_failed.
    """

    def __init__(self, number: int = 0, *, library: Any = None, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._library = library or _import()
        try:
            self._camera: Any = self._library.Picamera2(number)
            self._modes = list(self._camera.sensor_modes)
        except (RuntimeError, IndexError) as error:
            raise SourceError(f"cannot open the CSI camera: {error}", "picamera_failed") from error
        self._configured: tuple[Size, int, int] | None = None
        self._size = Size(0, 0)
        self._encoder: _HardwareJpeg | None = None
        self._busy = threading.Lock()

    def take(self, limits: CameraLimits) -> Capture | None:
        with self._busy:
            return self._take(limits)

    def close(self) -> None:
        with self._busy:
            self._stop()
            self._camera.close()

    def _take(self, limits: CameraLimits) -> Capture | None:
        try:
            self._configure(limits)
            request = self._camera.capture_request(wait=PATIENCE_S)
        except (concurrent.futures.TimeoutError, TimeoutError):
            self._camera.cancel_all_and_flush()
            return None
        except (RuntimeError, OSError) as error:
            raise SourceError(f"the CSI camera delivers no pictures: {error}", "picamera_failed") from error
        try:
            taken_s = request.get_metadata()["SensorTimestamp"] / 1e9
            if self._encoder is not None:
                picture = self._encoder.encode(request)
            else:
                picture = jpeg.of_yuv420(request.make_array("main"), self._size, limits.jpeg_quality)
        finally:
            request.release()
        return None if picture is None else Capture(picture, min(taken_s, self._clock()))

    def _configure(self, limits: CameraLimits) -> None:
        """Reconfigure the camera if the size, interval or quality has changed."""
        size = jpeg.scaled(Size(*self._camera.sensor_resolution), limits.max_side)
        interval_us = int(min(max(limits.min_interval_s * 1e6, _SHORTEST_US), _LONGEST_US))
        configuration = size, interval_us, limits.jpeg_quality
        if configuration == self._configured:
            return
        self._stop()
        # Preview colours are full-range, as in JPEG; video colours are not.
        config = self._camera.create_preview_configuration(
            main={"size": (size.width, size.height), "format": "YUV420"},
            raw=None,
            sensor=whole_view(self._modes, size),
            controls={"FrameDurationLimits": (interval_us, interval_us)},
            display=None,
        )
        self._camera.configure(config)
        self._camera.start()
        self._configured, self._size = configuration, Size(*self._camera.camera_configuration()["main"]["size"])
        self._encoder = _HardwareJpeg.of(self._library, self._camera, limits.jpeg_quality)

    def _stop(self) -> None:
        if self._encoder is not None:
            self._encoder.close()
            self._encoder = None
        self._camera.stop()


def whole_view(modes: Iterable[Mapping[str, Any]], size: Size) -> dict[str, Any]:
    """The smallest sensor mode with the full field of view that covers the size; {}: let Picamera2 choose."""
    raw = [mode for mode in modes if "crop_limits" in mode]
    widest = max((mode["crop_limits"][2] * mode["crop_limits"][3] for mode in raw), default=0)
    whole = [
        mode for mode in raw
        if mode["crop_limits"][2] * mode["crop_limits"][3] >= 0.95 * widest
        and mode["size"][0] >= size.width and mode["size"][1] >= size.height
    ]  # fmt: skip
    if not whole:
        return {}
    best = min(whole, key=lambda mode: (mode["size"], -mode["bit_depth"]))
    return {"output_size": best["size"], "bit_depth": best["bit_depth"]}


class _HardwareJpeg:
    """Picamera2's MJPEG encoder, which encodes only the requested frames."""

    def __init__(self, encoder: Any, frames: queue.Queue[bytes]) -> None:
        self._encoder, self._frames = encoder, frames

    @staticmethod
    def of(library: Any, camera: Any, quality: int) -> _HardwareJpeg | None:
        """Start the hardware encoder for the main stream; None if the board has none."""
        if library.get_platform() != library.Platform.VC4:
            return None
        frames: queue.Queue[bytes] = queue.Queue()

        class Output(library.outputs.Output):  # type: ignore[misc]  # Picamera2 has no types
            def outputframe(self, frame: Any, *rest: Any, **more: Any) -> None:
                frames.put(bytes(frame))

        stream = camera.camera_configuration()["main"]
        encoder = library.encoders.MJPEGEncoder()
        encoder.output = Output()
        encoder.name = "main"
        encoder.width, encoder.height = stream["size"]
        encoder.format, encoder.stride = stream["format"], stream["stride"]
        encoder.framerate = _NOMINAL_FPS
        step = min(_STEPS, key=lambda known: abs(known[0] - quality))[1]
        encoder.start(quality=library.encoders.Quality[step])
        return _HardwareJpeg(encoder, frames)

    def encode(self, request: Any) -> bytes | None:
        """Encode a request; None if the encoder returns nothing within a second."""
        while not self._frames.empty():  # results that were too late for their request
            self._frames.get_nowait()
        self._encoder.encode("main", request)
        try:
            return self._frames.get(timeout=1.0)
        except queue.Empty:
            return None

    def close(self) -> None:
        self._encoder.stop()


def _import() -> Any:
    try:
        import picamera2
        import picamera2.encoders
        import picamera2.outputs
    except ImportError as error:
        raise SourceError(
            f"the CSI camera requires Picamera2 ({error}). Run `sudo apt install python3-picamera2`, and use "
            "an environment with system packages: `python3 -m venv --system-site-packages .venv`",
            "picamera_missing",
        ) from None
    return picamera2
