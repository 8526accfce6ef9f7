"""`python -m appliance.vision.isolation.child SOCKET PIXELS_AT MEMORY`: a process that forks decoding processes.

Rules of this file:
- The first process imports everything, and decodes an image of each format so that nothing is imported later. It never
  sees a camera's image. Each fork of it starts in milliseconds and shares its memory.
- For each message with a socket and a shared memory it forks a process that serves them, and answers with its number.
- A decoding process ends when its socket closes; so does the first one.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from PIL import Image

from appliance import heap
from appliance.errors import BadFrame
from appliance.values import Picture, Size
from appliance.vision import decode, thumbnail
from appliance.vision.isolation import messages
from appliance.vision.isolation.confine import confine
from appliance.vision.letterbox import fit


def main(control: socket.socket, pixels_at: int, memory_bytes: int) -> None:
    for stop in (signal.SIGINT, signal.SIGTERM):  # sent to the whole service, which may still have images to decode
        signal.signal(stop, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel removes ended ones
    cv2.setNumThreads(0)
    heap.settle()
    _warm_up()
    control.send(b"ready")
    while True:
        message, files, _, _ = socket.recv_fds(control, 16, 2)
        if not message:
            return
        number = os.fork()
        if number == 0:
            control.close()
            with contextlib.suppress(ConnectionError):
                _serve(socket.socket(fileno=files[0]), files[1], pixels_at, memory_bytes)
            os._exit(0)
        for file in files:
            os.close(file)
        control.send(str(number).encode())


def _serve(link: socket.socket, shared: int, pixels_at: int, memory_bytes: int) -> None:
    memory = mmap.mmap(shared, 0)
    os.close(shared)
    view = memoryview(memory)
    problem = ""
    try:
        confine(memory_bytes)
    except OSError as error:
        problem = f"not confined: {error}"
    link.send(problem.encode())
    while message := link.recv(messages.MOST_BYTES):
        link.send(_answer(messages.read_request(message), view, pixels_at))


def _answer(request: messages.Request, view: memoryview, pixels_at: int) -> bytes:
    picture = replace(request.picture, data=bytes(view[: request.size]))
    try:
        found = _decode(picture, request.place)
        if not found:
            return messages.no_thumbnail()
        at = pixels_at
        for pixels in found:
            view[at : at + pixels.nbytes] = np.ascontiguousarray(pixels).view(np.uint8).reshape(-1).data
            at += pixels.nbytes
        return messages.pixels(found[0].shape[1], found[0].shape[0])
    except BadFrame as error:
        return messages.refused(error)
    except MemoryError:
        return messages.refused(BadFrame("not enough memory to decode this image", "image_too_large"))


def _decode(picture: Picture, place: messages.Place) -> Sequence[np.ndarray]:
    if isinstance(place, tuple):
        return decode.load_windows(picture, place)
    if place is not None:
        return [decode.load(picture, place)]
    thumb = thumbnail.mean_colours(picture)
    return [] if thumb is None else [thumb]


def _warm_up() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    files = [decode.encode_jpeg(pixels, 80)]
    for form in ("PNG", "WEBP", "JPEG"):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, form, **({"subsampling": "4:1:1"} if form == "JPEG" else {}))
        files.append(file.getvalue())
    for data in files:
        picture = decode.read_header(data, 10_000)
        decode.load(picture, fit(picture.size, Size(32, 32)))
        thumbnail.mean_colours(picture)


if __name__ == "__main__":
    with contextlib.suppress(ConnectionError):  # the service has ended
        main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]))
