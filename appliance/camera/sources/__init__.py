"""Picture sources of the camera agent."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from appliance.camera.sources import url
from appliance.camera.sources.source import Source
from appliance.errors import SourceError
from appliance.redaction import redact
from appliance.vision import picture_files

KINDS = "demo, picamera, a picture file or folder, a video file, /dev/video0, rtsp://… or http://…"


def open_source(source: str, *, rtsp_transport: str = "auto") -> Source:
    """Open one of `KINDS` (`picamera:1`: the second CSI camera). `rtsp_transport`: auto, tcp or udp.

    Raises SourceError if it does not exist or is unreadable. A live camera is opened by the first `take`.
    """
    if source == "demo":
        from appliance.camera.sources.demo import DemoSource

        return DemoSource()
    if match := re.fullmatch(r"picamera(?::(\d+))?", source):
        from appliance.camera.sources.picamera import PicameraSource

        return PicameraSource(int(match[1] or 0))
    from appliance.camera.sources import folder, http_camera, live, pyav, video

    if url.is_url(source):
        address = url.parse(source)
        if address.scheme in ("http", "https"):
            camera = http_camera.HttpCamera(address)
            return live.LiveSource(lambda _: camera, patient=True)
        return live.LiveSource(lambda _: pyav.network(source, rtsp_transport), patient=True)
    path = Path(source)
    check_exists(source)
    if path.is_char_device():
        without_jpeg = functools.partial(pyav.webcam, source, form=None)
        return live.LiveSource(lambda limits: pyav.webcam(source, limits), without_jpeg, sized=True)
    if path.is_dir() or picture_files.is_named_as_picture(path):
        return folder.FolderSource(path)
    return video.VideoSource(source)


def check_exists(source: str) -> None:
    """Raise SourceError if a source is neither an address nor an existing file, folder or device."""
    drawn_or_remote = source == "demo" or source.startswith("picamera") or url.is_url(source)
    if not drawn_or_remote and not _exists(Path(source)):
        raise SourceError(f"{redact(source)}: no such file, folder or device. Valid sources: {KINDS}", "source_missing")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # the name is too long or contains NUL
        return False
