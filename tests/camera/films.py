"""Test videos: ten grey levels in turn, so that the brightness of a picture identifies its frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from appliance.values import CameraLimits, Picture, Size
from appliance.vision.decode import decode, read_header

STEP = 20


def limits(max_side: int = 640, min_interval_s: float = 0.0, jpeg_quality: int = 80) -> CameraLimits:
    return CameraLimits(min_interval_s, max_side, jpeg_quality, "normal")


def film(
    path: Path,
    codec: str,
    *,
    frames: int = 10,
    fps: int = 10,
    size: Size = Size(640, 360),
    key_every: int | None = None,
) -> Path:
    """Write a video file: `mjpeg` as .avi, `libx264` as .mp4. `key_every`: frames per key frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = size.width, size.height
        if key_every is not None:
            stream.options = {"x264-params": f"keyint={key_every}:scenecut=0"}
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(frames):
            pixels = np.full((size.height, size.width, 3), 20 + STEP * (number % 10), np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def stamped(path: Path, stamps: list[float]) -> Path:
    """Write a video with these time stamps, s, by remuxing a plain one."""
    plain = film(path.with_name("plain.avi"), "mjpeg", frames=len(stamps), fps=10)
    with av.open(str(plain)) as source, av.open(str(path), "w", format="matroska") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet, at_s in zip(source.demux(video=0), stamps, strict=False):
            packet.stream, packet.time_base = stream, Fraction(1, 1000)
            packet.pts = packet.dts = round(at_s * 1000)
            out.mux(packet)
    return path


def number_of(data: bytes) -> int:
    """The number of the frame that a picture shows, 0-9."""
    return round((float(decode(picture_of(data)).mean()) - 20) / STEP)


def picture_of(data: bytes) -> Picture:
    return read_header(data, 10**8)
