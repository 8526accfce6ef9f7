"""Send the pictures through a running appliance: a child process, a real port and a real Socket.IO client.

Each picture is sent as the bytes of its file, one at a time. A skipped frame is sent again after the requested delay,
because it says nothing about accuracy. The governor and the cache are off, so that neither a warm machine nor an
earlier result affects the measurement.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import socketio

from .coco import Det, LabelledPicture, Predictions

READY_S = 90.0
"""Limit for the start; includes the first compilation of the model on a slow board."""
ANSWER_S = 60.0
STOP_S = 20.0
TRIES = 50
"""Attempts to send a picture before the evaluation fails."""

Answers: TypeAlias = "asyncio.Queue[tuple[str, dict[str, Any]]]"
"""Received events: name and payload."""


@contextlib.contextmanager
def appliance(root: Path, settings: Mapping[str, str], log: Path) -> Iterator[str]:
    """Run the service on a free port during the block; yield the base URL once `/health/ready` is 200.

    The machine's configuration file and environment are ignored: only the profile and `settings` apply.
    Raises RuntimeError with the end of the log if the process ends or is not ready in time.
    """
    port = _free_port()
    command = [sys.executable, "-m", "appliance", "serve", "--host", "127.0.0.1", "--port", str(port)]
    command += [
        "--config",
        os.devnull,
        "--profile",
        "realtime",
        *(word for item in settings.items() for word in ("--set", "=".join(item))),
    ]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("APPLIANCE_")}
    with log.open("wb") as output:
        child = subprocess.Popen(command, cwd=root, env=environ, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait_until_ready(child, f"http://127.0.0.1:{port}", log)
            yield f"http://127.0.0.1:{port}"
        finally:
            child.terminate()
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(child: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while child.poll() is None and time.monotonic() < deadline:
        if _is_ready(url):
            return
        time.sleep(0.2)
    problem = f"was not ready after {READY_S:.0f} s" if child.returncode is None else f"ended with {child.returncode}"
    raise RuntimeError(
        f"the appliance {problem}. End of its log:\n{log.read_text(encoding='utf-8', errors='replace')[-3000:]}"
    )


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:  # connection refused, or an error status, which urllib raises
        return False


async def detect(url: str, pictures: list[LabelledPicture], min_confidence: float) -> Predictions:
    """Send every picture and collect the results.

    Raises RuntimeError if a picture gets an error, a cached result or no result.
    """
    answers: Answers = asyncio.Queue()
    client = socketio.AsyncClient(reconnection=False)
    for event in ("connected", "detection_results", "detection_error", "frame_skipped"):
        client.on(event, _into(answers, event))
    try:
        await client.connect(url, auth={"name": "evaluation"}, transports=["websocket"])
    except socketio.exceptions.ConnectionError as error:
        raise RuntimeError(f"the appliance refused the connection: {error}") from None
    try:
        event, hello = await _next(answers)
        if event != "connected":
            raise RuntimeError(f"the first event was {event} instead of connected")
        dets: list[Det] = []
        sizes: dict[str, str] = {}
        for picture in pictures:
            answer = await _ask(client, answers, picture, min_confidence)
            size = answer["input_size"]
            sizes[str(picture.image_id)] = f"{size['width']}x{size['height']}"
            dets += [det(picture.image_id, found) for found in answer["detections"]]
    finally:
        await client.disconnect()
    return {"by": f"appliance {hello['version']}, model {hello['model']}", "input_sizes": sizes, "dets": dets}


def _into(answers: Answers, event: str) -> Any:
    async def put(payload: dict[str, Any]) -> None:
        answers.put_nowait((event, payload))

    return put


async def _next(answers: Answers) -> tuple[str, dict[str, Any]]:
    try:
        return await asyncio.wait_for(answers.get(), ANSWER_S)
    except asyncio.TimeoutError:
        raise RuntimeError(f"no event from the appliance for {ANSWER_S:.0f} s") from None


async def _ask(client: Any, answers: Answers, picture: LabelledPicture, min_confidence: float) -> dict[str, Any]:
    frame = {"image": picture.path.read_bytes(), "frame_id": picture.image_id, "min_confidence": min_confidence}
    payload: dict[str, Any] = {}
    for _ in range(TRIES):
        await client.emit("process_frame", frame)
        event, payload = await _next(answers)
        if event == "detection_error" or payload["frame_id"] != picture.image_id or payload.get("cached"):
            break
        if event == "detection_results":
            return payload
        await asyncio.sleep(payload.get("retry_after") or 0.1)
    raise RuntimeError(f"{picture.path.name} got no result: {payload}")


def det(image_id: int, found: Mapping[str, Any]) -> Det:
    """Convert a detection from the wire format to pycocotools' format."""
    box = found["box"]
    box_px = [box["x1"], box["y1"], box["x2"] - box["x1"], box["y2"] - box["y1"]]
    return {"image_id": image_id, "category_id": found["class"], "bbox": box_px, "score": found["confidence"]}
