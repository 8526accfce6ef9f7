"""Read webcams, network cameras and videos with FFmpeg, through PyAV.

A JPEG stream (webcams, many network cameras) is not decoded: its packets are the pictures. Other codecs are decoded
completely, because frames depend on earlier ones, but only a requested frame is scaled and encoded as JPEG.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from appliance.camera.sources import jpeg, url
from appliance.camera.sources.source import WaitUntilRequested
from appliance.errors import SourceError
from appliance.redaction import redact
from appliance.values import CameraLimits

_OPEN_WITHIN_S = 10.0
_SILENT_S = 15.0
"""A camera counts as dead without a packet for this long."""


_TRANSPORTS: dict[str, dict[str, str]] = {
    "auto": {"rtsp_transport": "tcp+udp", "rtsp_flags": "prefer_tcp"},
    "tcp": {"rtsp_transport": "tcp"},
    "udp": {"rtsp_transport": "udp"},
}


@dataclass(frozen=True, slots=True)
class ReceivedFrame:
    """A JPEG packet or a decoded frame, with its time in the stream (None: unknown)."""

    content: Any
    at_s: float | None

    def to_jpeg(self, limits: CameraLimits) -> bytes:
        if isinstance(self.content, bytes):
            return jpeg.fit(self.content, limits)
        return jpeg.of_frame(self.content, limits)


@dataclass(frozen=True, slots=True)
class FFmpegInput:
    """An input URL or path with format and options for FFmpeg."""

    name: str
    format: str | None
    options: dict[str, str]

    @property
    def shown(self) -> str:
        """The name without the password, for logs."""
        return redact(self.name)

    def open(self) -> ContainerStream:
        """Raises SourceError."""
        return ContainerStream(open_container(self))


@dataclass(frozen=True, slots=True)
class ContainerStream:
    """An open container as a stream."""

    container: Any

    def frames(self, wait_until_requested: WaitUntilRequested) -> Iterator[ReceivedFrame]:
        """Yield all frames. FFmpeg reads continuously, so `wait_until_requested` is not used."""
        return read_frames(self.container)

    def close(self) -> None:
        self.container.close()


def network(source: str, transport: str = "auto") -> FFmpegInput:
    """The input for an rtsp:// or http:// camera.

    RTSP `transport`: tcp, udp, or auto: UDP only if the camera refuses TCP, because lost UDP packets leave grey areas
    that look like objects to the model. `nobuffer` is not set: FFmpeg would drop the first key frame, which it reads to
    probe the stream, and the next one may be ten seconds later.
    """
    camera_url = url.parse(source)
    options = {"analyzeduration": "1000000"}  # µs; by default FFmpeg probes for up to 5 s
    if camera_url.scheme in ("rtsp", "rtsps"):
        options |= _TRANSPORTS[transport]
    return FFmpegInput(camera_url.encoded, None, options)


def webcam(path: str, limits: CameraLimits, form: str | None = "mjpeg") -> FFmpegInput:
    """The input for a V4L2 device: JPEG in about the requested size. The driver chooses the nearest mode."""
    width, height = limits.max_side, round(limits.max_side * 9 / 16 / 2) * 2
    options = {"video_size": f"{width}x{height}"}
    return FFmpegInput(path, "v4l2", options | ({"input_format": form} if form else {}))


def open_container(source: FFmpegInput) -> Any:
    """Open a PyAV container that has a video stream.

    Raises SourceError: camera_extra_missing, or source_unreadable with the reason from FFmpeg.
    """
    av = _import_av()
    try:
        container = av.open(
            source.name, format=source.format, options=source.options, timeout=(_OPEN_WITHIN_S, _SILENT_S)
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        unauthorized = type(error).__name__ in ("HTTPUnauthorizedError", "HTTPForbiddenError")
        code = "source_unauthorized" if unauthorized else "source_unreadable"
        reason = url.parse(source.name).hide(_reason(error)) if url.is_url(source.name) else _reason(error)
        raise SourceError(f"{source.shown}: cannot open: {reason}", code) from None
    if not container.streams.video:
        container.close()
        raise SourceError(f"{source.shown}: contains no video", "source_unreadable")
    return container


def read_frames(container: Any) -> Iterator[ReceivedFrame]:
    """Yield the frames of a container's first video stream. Raises SourceError if it breaks off."""
    try:
        yield from _read_frames(container.streams.video[0], container)
    except _import_av().FFmpegError as error:
        raise SourceError(f"the stream broke off: {_reason(error)}", "source_unreadable") from None


def _read_frames(stream: Any, container: Any) -> Iterator[ReceivedFrame]:
    stream.thread_type = "SLICE"  # FRAME threading would delay output by one frame per thread
    packets = container.demux(stream)
    if stream.codec_context.name == "mjpeg":
        first = next((packet for packet in packets if packet.size), None)
        packets = itertools.chain([] if first is None else [first], packets)
        if first is None or not _is_turned(stream, first):
            for packet in packets:
                if packet.size:
                    yield ReceivedFrame(bytes(packet), _seconds(packet.pts, packet.time_base))
            return
    raw = stream.codec_context.name == "rawvideo"
    for packet in packets:
        try:
            frames = stream.codec_context.decode(_copied(packet) if raw and packet.size else packet)
        except ValueError:  # damaged data; decoding recovers at the next key frame
            continue
        for frame in frames:
            yield ReceivedFrame(frame, _seconds(frame.pts, frame.time_base))


def _is_turned(stream: Any, packet: Any) -> bool:
    """Whether the container requires a rotation of its JPEG pictures, which JPEG packets alone would lose."""
    try:
        return any(jpeg.turn_of(frame) is not None for frame in stream.codec_context.decode(packet))
    except (_import_av().FFmpegError, ValueError):
        return False


def _copied(packet: Any) -> Any:
    """Copy a packet. A raw frame is in the driver's memory, which is unmapped when the webcam is closed."""
    copied = _import_av().Packet(bytes(packet))
    copied.pts, copied.dts, copied.time_base = packet.pts, packet.dts, packet.time_base
    return copied


def _seconds(pts: int | None, time_base: Any) -> float | None:
    return None if pts is None or time_base is None else float(pts * time_base)


_WHAT_TO_DO = {
    "HTTPUnauthorizedError": "check the user and password: rtsp://user:password@camera/…",
    "HTTPForbiddenError": "check the permissions of this user on the camera",
    "HTTPNotFoundError": "the camera has no such URL; its manual lists the URL of its stream",
    "ConnectionRefusedError": "check the address and port, and that the camera is on",
}
"""By the class name of PyAV's exception."""


def _reason(error: Any) -> str:
    """The reason for an error with advice. PyAV reports a timeout as an immediate exit."""
    text = str(getattr(error, "strerror", None) or error)
    if text == "Immediate exit requested":
        return "timed out"
    advice = _WHAT_TO_DO.get(type(error).__name__)
    return f"{text}: {advice}" if advice else text


def _import_av() -> Any:
    try:
        import av
    except ImportError:
        raise SourceError(
            "video files, webcams and network cameras require PyAV. Install it with: "
            "pip install 'edge-detection-appliance[camera]'",
            "camera_extra_missing",
        ) from None
    return av
