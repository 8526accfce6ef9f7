"""FFmpeg through PyAV: how each kind of address is opened, and its packets turned into pieces of pictures.

A stream that is JPEG already (webcams, many network cameras) is never decoded: its packets are the pictures. Anything
else is decoded packet by packet, because later pictures are made from earlier ones, but only a picture that is asked
for is scaled and encoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from appliance.camera.sources import jpeg
from appliance.errors import SourceError
from appliance.values import CameraLimits

_OPEN_WITHIN_S = 10.0
_SILENT_S = 15.0
"""A camera without a packet for so long is taken for dead."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A picture on its way: a JPEG packet or a decoded frame, and its time in the stream (None: not told)."""

    content: Any
    at_s: float | None

    def to_jpeg(self, limits: CameraLimits) -> bytes:
        if isinstance(self.content, bytes):
            return jpeg.fit(self.content, limits)
        return jpeg.of_frame(self.content, limits)


@dataclass(frozen=True, slots=True)
class Address:
    """What is handed to FFmpeg."""

    name: str
    format: str | None
    options: dict[str, str]

    @property
    def shown(self) -> str:
        """For logs: without the password."""
        return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", self.name)


def network(url: str) -> Address:
    """An rtsp:// or http:// camera. RTSP over TCP: over UDP a lost packet is a grey smear that a detector believes."""
    options = {"fflags": "nobuffer", "analyzeduration": "1000000"}  # µs; left alone, FFmpeg looks for up to 5 s
    if url.startswith("rtsp"):
        options |= {"rtsp_transport": "tcp"}
    return Address(url, None, options)


def webcam(path: str, limits: CameraLimits, form: str | None = "mjpeg") -> Address:
    """A V4L2 device, asked for JPEG of about the size that the box wants; the driver takes the mode nearest to it."""
    width, height = limits.max_side, round(limits.max_side * 9 / 16 / 2) * 2
    options = {"video_size": f"{width}x{height}"}
    return Address(path, "v4l2", options | ({"input_format": form} if form else {}))


def open_container(address: Address) -> Any:
    """An open PyAV container with a video stream.

    Raises SourceError: camera_extra_missing, or source_unreadable with what FFmpeg says.
    """
    av = _import_av()
    try:
        container = av.open(
            address.name, format=address.format, options=address.options, timeout=(_OPEN_WITHIN_S, _SILENT_S)
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise SourceError(f"{address.shown}: cannot be opened: {_reason(error)}", "source_unreadable") from None
    if not container.streams.video:
        container.close()
        raise SourceError(f"{address.shown}: there is no video in it", "source_unreadable")
    return container


def pieces(container: Any) -> Iterator[Piece]:
    """What comes out of a container's first video stream, to its end. Raises SourceError when it breaks off."""
    try:
        yield from _pieces(container.streams.video[0], container)
    except _import_av().FFmpegError as error:
        raise SourceError(f"the pictures broke off: {_reason(error)}", "source_unreadable") from None


def _pieces(stream: Any, container: Any) -> Iterator[Piece]:
    if stream.codec_context.name == "mjpeg":
        for packet in container.demux(stream):
            if packet.size:
                yield Piece(bytes(packet), _seconds(packet.pts, packet.time_base))
        return
    raw = stream.codec_context.name == "rawvideo"
    stream.thread_type = "SLICE"  # threads a frame each would hold back as many frames as there are threads
    for packet in container.demux(stream):
        try:
            frames = stream.codec_context.decode(_own(packet) if raw and packet.size else packet)
        except ValueError:  # PyAV's word for damaged data; the next key frame mends it
            continue
        for frame in frames:
            yield Piece(frame, _seconds(frame.pts, frame.time_base))


def _own(packet: Any) -> Any:
    """A copy: a raw frame is the driver's own memory, which is gone when the webcam is closed."""
    copied = _import_av().Packet(bytes(packet))
    copied.pts, copied.dts, copied.time_base = packet.pts, packet.dts, packet.time_base
    return copied


def _seconds(pts: int | None, time_base: Any) -> float | None:
    return None if pts is None or time_base is None else float(pts * time_base)


def _reason(error: Any) -> str:
    """PyAV calls running into our own time limit an exit."""
    text = str(getattr(error, "strerror", None) or error)
    return "no answer in time" if text == "Immediate exit requested" else text


def _import_av() -> Any:
    try:
        import av
    except ImportError:
        raise SourceError(
            "video files, webcams and network cameras need PyAV: pip install 'edge-detection-appliance[camera]'",
            "camera_extra_missing",
        ) from None
    return av
