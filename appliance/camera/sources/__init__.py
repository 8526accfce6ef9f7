"""Where a camera agent's pictures come from."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from appliance.camera.sources.source import Source
from appliance.errors import SourceError
from appliance.redaction import redact

KINDS = "demo, picamera, a folder or file of pictures, a video, /dev/video0, rtsp://… or http://…"


def open_source(source: str, *, rtsp_transport: str = "auto") -> Source:
    """One of `KINDS` (`picamera:1`: the second CSI camera). `rtsp_transport`: auto, tcp or udp.

    Raises SourceError when it is not there or cannot be read; a live camera is opened with the first picture.
    """
    if source == "demo":
        from appliance.camera.sources.demo import DemoSource

        return DemoSource()
    if found := re.fullmatch(r"picamera(?::(\d+))?", source):
        from appliance.camera.sources.picamera import PicameraSource

        return PicameraSource(int(found[1] or 0))
    from appliance.camera.sources import folder, http_camera, live, pyav, url, video

    if url.is_url(source):
        address = url.parse(source)
        if address.scheme in ("http", "https"):
            camera = http_camera.HttpCamera(address)
            return live.LiveSource(lambda _: camera, patient=True)
        return live.LiveSource(lambda _: pyav.network(source, rtsp_transport), patient=True)
    path = Path(source)
    if not _exists(path):
        raise SourceError(
            f"{redact(source)}: there is no such file, folder or device; sources are {KINDS}", "source_missing"
        )
    if path.is_char_device():
        plain = functools.partial(pyav.webcam, source, form=None)  # one that has no JPEG
        return live.LiveSource(lambda limits: pyav.webcam(source, limits), plain, sized=True)
    if path.is_dir() or path.suffix.lower() in folder.SUFFIXES:
        return folder.FolderSource(path)
    return video.VideoSource(source)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a name, or with a NUL in it
        return False
