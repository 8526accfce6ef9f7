"""Camera agent: the cost of pushing 1280x720 at 10 fps, for JPEG passed through and for a video that is decoded.

`appliance camera` pushes each video in a separate process that is bound to one core; its CPU time is read from outside.
The service uses a fake engine, so that it answers ten frames per second on any machine.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import psutil

from appliance.values import Size
from appliance.vision import scene
from tests.benchmarks.report import Row
from tests.benchmarks.service import ROOT, Service

_FPS = 10
_SECONDS = 10.0
_WARM_UP_S = 4.0


def run(folder: Path) -> list[Row]:
    with _answering() as service:
        passed, passed_fps = _push(service, _video(folder / "street.avi", "mjpeg", "yuvj420p"))
        decoded, decoded_fps = _push(service, _video(folder / "street.mp4", "libx264", "yuv420p"))
    jpeg_s, video_s = passed / passed_fps, decoded / decoded_fps
    return [
        Row("agent: part of a core, 1280x720 at 10 fps, JPEG passed through", jpeg_s * _FPS, 0.03, True,
            f"{jpeg_s * 1000:.1f} ms a frame, {passed_fps:.1f} fps answered"),
        Row("agent: JPEG passed through / decoded video", jpeg_s / video_s, 1.0, True,
            f"decoded: {video_s * 1000:.1f} ms a frame, {decoded_fps:.1f} fps answered"),
    ]  # fmt: skip


@contextmanager
def _answering() -> Iterator[Service]:
    """A service with a fake engine that answers at once."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = ("server.host=127.0.0.1", f"server.port={port}", "flow.min_interval_s=0.1", "cache.enabled=false")
    command = [sys.executable, "-m", "tests.fake_service", "serve", *settings]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        process.stdout.readline()  # ready
        try:
            yield Service(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
        finally:
            process.terminate()


def _push(service: Service, video: Path) -> tuple[float, float]:
    """The part of one core that the agent used, and the answered frames per second."""
    name = video.suffix[1:]
    command = [sys.executable, "-m", "appliance", "camera", "--to", service.url, "--name", name, "--source", str(video)]
    core = max(os.sched_getaffinity(0))
    process = subprocess.Popen([*command, "--quiet"], cwd=ROOT, preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    try:
        agent = psutil.Process(process.pid)
        time.sleep(_WARM_UP_S)
        started_s, before_s, answered = time.monotonic(), _cpu_s(agent), _answered(service, name)
        time.sleep(_SECONDS)
        seconds = time.monotonic() - started_s
        return (_cpu_s(agent) - before_s) / seconds, (_answered(service, name) - answered) / seconds
    finally:
        process.terminate()
        process.wait(20)


def _answered(service: Service, name: str) -> int:
    answered: int = service.health()["cameras"][name]["answered"]
    return answered


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _video(path: Path, codec: str, form: str) -> Path:
    """Three seconds of the drawn street with a moving sign."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=_FPS)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, form
        for number in range(3 * _FPS):
            pixels, _ = scene.draw(Size(1280, 720), at=number / (3 * _FPS), seed=number)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path
