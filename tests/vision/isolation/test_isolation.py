"""Decoding in other processes: the same pixels, and no more than one image lost to whatever happens there."""

from __future__ import annotations

import errno
import io
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from appliance.errors import BadFrame, EngineError
from appliance.values import Picture, Size
from appliance.vision import decode, scene, thumbnail
from appliance.vision.isolation import messages
from appliance.vision.isolation.parent import IsolatedDecoder
from appliance.vision.letterbox import Letterbox, fit
from appliance.vision.window import PicturePart
from tests.conftest import Serve
from tests.fakes import CANARY_ROWS, FakeEngine
from tests.web.camera import camera


@pytest.fixture(scope="module")
def decoder() -> Iterator[IsolatedDecoder]:
    decoder = IsolatedDecoder(max_frame_bytes=1_000_000, max_side=640, max_pixels=2_000_000, decodes_within_s=10)
    yield decoder
    decoder.close()


def test_a_network_input_larger_than_usual_is_filled_too() -> None:
    """A network with a fixed input of 1280x1280, or a larger `flow.max_side` after a reload."""
    decoder = IsolatedDecoder(max_frame_bytes=1_000_000, max_side=640, max_pixels=2_000_000, decodes_within_s=10)
    try:
        image = picture(size=Size(1280, 720))
        usual = fit(image.size, Size(640, 384))
        before = decoder.load(image, usual)
        (number,) = decoder.processes()
        large = fit(image.size, Size(1280, 1280))
        np.testing.assert_array_equal(decoder.load(image, large), decode.load(image, large))
        parts = [PicturePart(left, 0, fit(Size(640, 640), Size(960, 960))) for left in (0, 320, 640)]
        for ours, theirs in zip(decoder.load_windows(image, parts), decode.load_windows(image, parts), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(decoder.load(image, usual), before)
        assert number not in decoder.processes()
        assert len(decoder.processes()) == 1
    finally:
        decoder.close()


def picture(form: str = "JPEG", size: Size = Size(640, 360), **options: object) -> Picture:
    pixels, _ = scene.draw(size)
    file = io.BytesIO()
    mode = options.pop("mode", "RGB")
    Image.fromarray(pixels).convert(str(mode)).save(file, form, **options)
    return decode.read_header(file.getvalue(), 100_000_000)


def place(picture: Picture) -> Letterbox:
    return fit(picture.size, Size(320, 192))


PICTURES = {
    "jpeg": {"form": "JPEG"},
    "progressive": {"form": "JPEG", "progressive": True},
    "grey": {"form": "JPEG", "mode": "L"},
    "inks": {"form": "JPEG", "mode": "CMYK"},
    "unusual": {"form": "JPEG", "subsampling": "4:1:1"},
    "png": {"form": "PNG"},
    "palette": {"form": "PNG", "mode": "P"},
    "webp": {"form": "WEBP"},
}


@pytest.mark.parametrize("kind", PICTURES)
def test_the_pixels_are_those_of_the_service_itself(decoder: IsolatedDecoder, kind: str) -> None:
    one = picture(**PICTURES[kind])  # type: ignore[arg-type]
    assert np.array_equal(decoder.load(one, place(one)), decode.load(one, place(one)))
    here, there = thumbnail.mean_colours(one), decoder.mean_colours(one)
    assert (here is None) == (there is None)
    assert here is None or there is None or np.array_equal(here, there)


@pytest.mark.parametrize("kind", PICTURES)
def test_windows_are_those_of_the_service_itself(decoder: IsolatedDecoder, kind: str) -> None:
    one = picture(size=Size(1280, 720), **PICTURES[kind])  # type: ignore[arg-type]
    crop = Size(320, 192)
    windows = [PicturePart(0, 0, fit(one.size, Size(640, 384))), PicturePart(900, 500, fit(crop, crop))]
    for here, there in zip(decode.load_windows(one, windows), decoder.load_windows(one, windows), strict=True):
        assert np.array_equal(here, there)


def test_a_damaged_image_is_refused_with_the_same_words(decoder: IsolatedDecoder) -> None:
    whole = picture()
    damaged = Picture(whole.data[:2000], "jpeg", whole.size, plain_jpeg=True)
    errors = []
    for load in (decoder.load, decode.load):
        with pytest.raises(BadFrame) as caught:
            load(damaged, place(damaged))
        errors.append((caught.value.code, str(caught.value)))
    assert errors[0] == errors[1]


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_crash_costs_one_image(decoder: IsolatedDecoder, number: int) -> None:
    one = picture()
    decoder.load(one, place(one))
    (process, *_) = decoder.processes()[::-1]
    os.kill(process, signal.SIGSTOP)  # it has the image, and does not answer
    with ThreadPoolExecutor(1) as thread:
        loading = thread.submit(decoder.load, one, place(one))
        until(lambda: process not in decoder.processes())
        time.sleep(0.1)
        os.kill(process, number)
        if number != signal.SIGKILL:  # which a stopped process gets too
            os.kill(process, signal.SIGCONT)
        with pytest.raises(BadFrame, match="the decoder crashed on it"):
            loading.result(10)
    assert decoder.load(one, place(one)).shape == (192, 320, 3)


def test_processes_that_end_while_they_wait_cost_no_image(decoder: IsolatedDecoder) -> None:
    """As when the kernel ends them because memory runs out."""
    one = picture()
    decoder.load(one, place(one))
    for also_first in (False, True):
        for number in [decoder.first] * also_first + decoder.processes():
            os.kill(number, signal.SIGKILL)
            until(partial(has_ended, number))
        assert decoder.load(one, place(one)).shape == (192, 320, 3)


def test_a_process_that_cannot_be_started_is_no_fault_of_the_picture(
    decoder: IsolatedDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, refused = picture(), OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    decoder.load(one, place(one))
    first = decoder.first
    for number in decoder.processes():
        os.kill(number, signal.SIGKILL)
        until(partial(has_ended, number))
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socketpair", Mock(side_effect=refused))
        with pytest.raises(EngineError, match="does not start: Too many open files"):
            decoder.load(one, place(one))
        assert decoder.first == first
        os.kill(first, signal.SIGKILL)
        until(partial(has_ended, first))
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", Mock(side_effect=OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))))
        for _ in range(2):
            with pytest.raises(EngineError, match="does not start: Resource temporarily unavailable"):
                decoder.load(one, place(one))
    assert decoder.load(one, place(one)).shape == (192, 320, 3)


def until(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def has_ended(number: int) -> bool:
    """Whether a process has ended, also if nobody has asked how."""
    try:
        return Path("/proc", str(number), "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_decoder_that_hangs_is_replaced() -> None:
    decoder = IsolatedDecoder(max_frame_bytes=1_000_000, max_side=640, max_pixels=2_000_000, decodes_within_s=0.3)
    try:
        one = picture(size=Size(64, 36))
        decoder.load(one, place(one))
        hung = decoder.processes()[0]
        os.kill(hung, signal.SIGSTOP)
        with pytest.raises(BadFrame, match="takes too long"):
            decoder.load(one, place(one))
        decoder.load(one, place(one))
        assert hung not in decoder.processes()
    finally:
        decoder.close()


def test_memory_beyond_the_limit_refuses_the_image_only(decoder: IsolatedDecoder) -> None:
    """The service admits images by their predicted memory; this is what holds where a prediction is wrong."""
    huge = picture("PNG", Size(9000, 9000), mode="1")
    small = picture()
    with pytest.raises(BadFrame):
        decoder.load(huge, place(huge))
    assert decoder.load(small, place(small)).shape == (192, 320, 3)


def test_a_process_knows_no_token_and_is_filtered(decoder: IsolatedDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    one = picture()
    decoder.load(one, place(one))
    process = Path("/proc", str(decoder.processes()[0]))
    assert b"APPLIANCE" not in (process / "environ").read_bytes()
    status = (process / "status").read_text()
    assert "\nSeccomp:\t2\n" in status
    assert "\nNoNewPrivs:\t1\n" in status


@given(st.binary(max_size=64))
def test_any_answer_is_a_size_a_refusal_or_nonsense(data: bytes) -> None:
    try:
        found = messages.read_answer(data)
    except (ValueError, BadFrame):
        return
    assert found is None or all(0 <= side < 65_536 for side in found)


def test_a_size_that_was_not_asked_for_ends_the_process(decoder: IsolatedDecoder) -> None:
    """What a process that was taken over might answer."""
    assert messages.read_answer(struct.pack("<BHH", 0, 9999, 9999)) == (9999, 9999)
    assert not messages.is_thumbnail(9999, 9999)
    assert not messages.is_thumbnail(0, 10)


async def test_the_service_decodes_in_a_process_that_ends_with_it(serve: Serve) -> None:
    before = _decoders()
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True, flow__decoder="process") as running:
        async with camera(running.url, "gate") as gate:
            await gate.push(picture().data)
            assert (await gate.first("detection_results"))["camera"] == "gate"
        assert len(_decoders() - before) == 1
    assert _decoders() == before


def _decoders() -> set[str]:
    """The processes that decode for this one."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {child for child in children if b"isolation.child" in Path("/proc", child, "cmdline").read_bytes()}
