"""The threads that process frames, between two of them."""

from __future__ import annotations

import gc
import sys
import time
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from appliance.errors import BadFrame
from appliance.flow.inference import Answer
from appliance.flow.mailboxes import Mailboxes
from appliance.flow.workers import Workers
from appliance.values import Frame
from tests.flow.frames import frame

Pixels = np.ndarray


@pytest.fixture
def mailboxes() -> Iterator[Mailboxes]:
    boxes = Mailboxes(max_cameras=4, max_bytes=10**6, max_age_s=60, clock=lambda: 1000.0)
    gc.disable()
    yield boxes
    gc.enable()
    boxes.close()


def until(condition: Callable[[], bool]) -> bool:
    """Whether the condition becomes true within some seconds."""
    until_s = time.monotonic() + 5
    while not condition() and time.monotonic() < until_s:
        time.sleep(0.005)
    return condition()


def test_a_thread_that_waits_holds_neither_frame_nor_pixels(mailboxes: Mailboxes) -> None:
    """Nor what the traceback of a damaged picture refers to. Collections are rare, so no cycle may hold them either."""
    pixels: list[weakref.ref[Pixels]] = []
    reported: list[bool] = []

    def process(frame: Frame) -> Answer:
        decoded = np.zeros((100, 100, 3), np.uint8)
        pixels.append(weakref.ref(decoded))
        raise BadFrame(f"damaged after {decoded.nbytes} bytes", "image_corrupt")

    def report(frame: Frame, result: Answer | Exception) -> None:
        reported.append(isinstance(result, BadFrame))

    one = frame()
    count = sys.getrefcount(one)
    Workers(mailboxes=mailboxes, process=process, report=report, most=lambda: 1, clock=time.monotonic).grow_to(1)
    mailboxes.offer(one)
    assert until(lambda: reported == [True])
    assert until(lambda: pixels[0]() is None)
    assert until(lambda: sys.getrefcount(one) == count)
