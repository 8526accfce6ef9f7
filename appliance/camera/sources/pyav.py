"""FFmpeg through PyAV: how each kind of address is opened, and its packets turned into pieces of pictures.

A stream that is JPEG already (webcams, many network cameras) is never decoded: its packets are the pictures. Anything
else is decoded packet by packet, because later pictures are made from earlier ones, but only a picture that is asked
for is scaled and encoded.
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
"""A camera without a packet for so long is taken for dead."""


_TRANSPORTS: dict[str, dict[str, str]] = {
    "auto": {"rtsp_transport": "tcp+udp", "rtsp_flags": "prefer_tcp"},
    "tcp": {"rtsp_transport": "tcp"},
    "udp": {"rtsp_transport": "udp"},
}


@dataclass(frozen=True, slots=True)
class StreamFrame:
    """A picture on its way: a JPEG packet or a decoded frame, and its time in the stream (None: not told)."""

    content: Any
    at_s: float | None

    def to_jpeg(self, limits: CameraLimits) -> bytes:
        if isinstance(self.content, bytes):
            return jpeg.fit(self.content, limits)
        return jpeg.of_frame(self.content, limits)


@dataclass(frozen=True, slots=True)
class FFmpegInput:
    """What is handed to FFmpeg."""

    name: str
    format: str | None
    options: dict[str, str]

    @property
    def shown(self) -> str:
        """For logs: without the password."""
        return redact(self.name)

    def open(self) -> ContainerStream:
        """Raises SourceError."""
        return ContainerStream(open_container(self))


@dataclass(frozen=True, slots=True)
class ContainerStream:
    """A container as a stream."""

    container: Any

    def frames(self, wanted: WaitUntilRequested) -> Iterator[StreamFrame]:
        """All its pictures; FFmpeg reads on by itself, so nobody is asked whether they are wanted."""
        return read_frames(self.container)

    def close(self) -> None:
        self.container.close()


def network(source: str, transport: str = "auto") -> FFmpegInput:
    """An rtsp:// or http:// camera.

    `transport` of RTSP: tcp, udp, or auto: UDP only where the camera refuses TCP, for over UDP a lost packet is a grey
    smear that a detector believes. `nobuffer` is not set: FFmpeg would drop the first key frame, which it reads to find
    out what the stream is, and the next one may be ten seconds away.
    """
    address = url.parse(source)
    options = {"analyzeduration": "1000000"}  # µs; left alone, FFmpeg looks for up to 5 s
    if address.scheme in ("rtsp", "rtsps"):
        options |= _TRANSPORTS[transport]
    return FFmpegInput(address.encoded, None, options)


def webcam(path: str, limits: CameraLimits, form: str | None = "mjpeg") -> FFmpegInput:
    """A V4L2 device, asked for JPEG of about the size that the box wants; the driver takes the mode nearest to it."""
    width, height = limits.max_side, round(limits.max_side * 9 / 16 / 2) * 2
    options = {"video_size": f"{width}x{height}"}
    return FFmpegInput(path, "v4l2", options | ({"input_format": form} if form else {}))


def open_container(address: FFmpegInput) -> Any:
    """An open PyAV container with a video stream.

    Raises SourceError: camera_extra_missing, or source_unreadable with what FFmpeg says.
    """
    av = _import_av()
    try:
        container = av.open(
            address.name, format=address.format, options=address.options, timeout=(_OPEN_WITHIN_S, _SILENT_S)
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        unauthorized = type(error).__name__ in ("HTTPUnauthorizedError", "HTTPForbiddenError")
        code = "source_unauthorized" if unauthorized else "source_unreadable"
        reason = url.parse(address.name).hide(_reason(error)) if url.is_url(address.name) else _reason(error)
        raise SourceError(f"{address.shown}: cannot be opened: {reason}", code) from None
    if not container.streams.video:
        container.close()
        raise SourceError(f"{address.shown}: there is no video in it", "source_unreadable")
    return container


def read_frames(container: Any) -> Iterator[StreamFrame]:
    """What comes out of a container's first video stream, to its end. Raises SourceError when it breaks off."""
    try:
        yield from _read_frames(container.streams.video[0], container)
    except _import_av().FFmpegError as error:
        raise SourceError(f"the pictures broke off: {_reason(error)}", "source_unreadable") from None


def _read_frames(stream: Any, container: Any) -> Iterator[StreamFrame]:
    stream.thread_type = "SLICE"  # threads a frame each would hold back as many frames as there are threads
    packets = container.demux(stream)
    if stream.codec_context.name == "mjpeg":
        first = next((packet for packet in packets if packet.size), None)
        packets = itertools.chain([] if first is None else [first], packets)
        if first is None or not _is_turned(stream, first):
            for packet in packets:
                if packet.size:
                    yield StreamFrame(bytes(packet), _seconds(packet.pts, packet.time_base))
            return
    raw = stream.codec_context.name == "rawvideo"
    for packet in packets:
        try:
            frames = stream.codec_context.decode(_own(packet) if raw and packet.size else packet)
        except ValueError:  # PyAV's word for damaged data; the next key frame mends it
            continue
        for frame in frames:
            yield StreamFrame(frame, _seconds(frame.pts, frame.time_base))


def _is_turned(stream: Any, packet: Any) -> bool:
    """Whether pictures that are JPEG already are to be turned: their container says so, and they go on without it."""
    try:
        return any(jpeg.turn_of(frame) is not None for frame in stream.codec_context.decode(packet))
    except (_import_av().FFmpegError, ValueError):
        return False


def _own(packet: Any) -> Any:
    """A copy: a raw frame is the driver's own memory, which is gone when the webcam is closed."""
    copied = _import_av().Packet(bytes(packet))
    copied.pts, copied.dts, copied.time_base = packet.pts, packet.dts, packet.time_base
    return copied


def _seconds(pts: int | None, time_base: Any) -> float | None:
    return None if pts is None or time_base is None else float(pts * time_base)


_WHAT_TO_DO = {
    "HTTPUnauthorizedError": "check the user and password, rtsp://user:password@camera/…",
    "HTTPForbiddenError": "check the user's rights on the camera",
    "HTTPNotFoundError": "the camera has no such address; its manual lists the address of its stream",
    "ConnectionRefusedError": "check the address and port, and that the camera is on",
}
"""By the name of PyAV's exception."""


def _reason(error: Any) -> str:
    """PyAV calls running into our own time limit an exit."""
    text = str(getattr(error, "strerror", None) or error)
    if text == "Immediate exit requested":
        return "no answer in time"
    advice = _WHAT_TO_DO.get(type(error).__name__)
    return f"{text}: {advice}" if advice else text


def _import_av() -> Any:
    try:
        import av
    except ImportError:
        raise SourceError(
            "video files, webcams and network cameras need PyAV: pip install 'edge-detection-appliance[camera]'",
            "camera_extra_missing",
        ) from None
    return av
