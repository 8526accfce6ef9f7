"""Invalid input gets exactly one error with a stable code, and does not affect other clients."""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import json
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from yarl import URL

from appliance.errors import ModelError
from appliance.flow.inference import Network
from appliance.settings.schema import Settings
from tests.conftest import Running, Serve
from tests.fakes import CANARY_ROWS, FakeEngine
from tests.web.camera import Camera, camera
from tests.web.requests import form, picture

_seeds = itertools.count(10_000)

GOOD = picture(1)
MOST = 200_000
"""Largest frame of the `live` service, bytes."""


def png_header(width: int, height: int) -> bytes:
    """A PNG with this size in its header and no data."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    head = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + head + struct.pack(">I", 100) + b"IDAT" + zlib.compress(bytes(1000))


def jpeg_with_size(width: int, height: int) -> bytes:
    """A JPEG with a wrong size in its header."""
    at = GOOD.index(b"\xff\xc0") + 5
    return GOOD[:at] + struct.pack(">HH", height, width) + GOOD[at + 4 :]


def saved(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 60, 3), np.uint8)).save(file, kind)
    return file.getvalue()


CORPUS: dict[str, tuple[Any, str]] = {
    "nothing": (None, "frame_type"),
    "number": (7, "frame_type"),
    "fraction": (1.5, "frame_type"),
    "true": (True, "frame_type"),
    "list": ([GOOD], "frame_type"),
    "empty_object": ({}, "frame_type"),
    "object_in_object": ({"image": {"image": "x"}}, "frame_type"),
    "list_in_object": ({"image": [1, 2, 3]}, "frame_type"),
    "none_in_object": ({"image": None}, "frame_type"),
    "empty_text": ("", "frame_empty"),
    "empty_bytes": (b"", "frame_empty"),
    "empty_data_url": ("data:image/jpeg;base64,", "frame_empty"),
    "empty_in_object": ({"image": b""}, "frame_empty"),
    "wrong_base64": ("@@@@", "base64_invalid"),
    "cut_base64": (base64.b64encode(GOOD).decode().rstrip("=")[: len(GOOD) // 4 * 4 + 1], "base64_invalid"),
    "url_safe_text": ("_-_-", "image_unsupported"),
    "padding_in_the_middle": ("/9j/=AAA", "base64_invalid"),
    "umlauts": ("äöü" * 10, "base64_invalid"),
    "lone_surrogate": ("\ud800\udc00\ud800", "base64_invalid"),
    "data_url_without_base64": ("data:image/jpeg,%FF%D8", "base64_invalid"),
    "text_in_base64": (base64.b64encode(b"hello, this is no picture").decode(), "image_unsupported"),
    "gif": (saved("GIF"), "image_unsupported"),
    "bmp": (saved("BMP"), "image_unsupported"),
    "zeroes": (bytes(1000), "image_unsupported"),
    "one_byte": (b"\xff", "image_unsupported"),
    "jpeg_magic_alone": (b"\xff\xd8\xff", "image_corrupt"),
    "png_magic_alone": (b"\x89PNG\r\n\x1a\n", "image_corrupt"),
    "webp_magic_alone": (b"RIFF\x10\0\0\0WEBP", "image_corrupt"),
    "half_a_jpeg": (GOOD[: len(GOOD) // 2], "image_corrupt"),
    "half_a_png": (saved("PNG")[:2000], "image_corrupt"),
    "half_a_webp": (saved("WEBP")[:600], "image_corrupt"),
    "png_bomb": (png_header(30_000, 30_000), "image_too_large"),
    "jpeg_bomb": (jpeg_with_size(30_000, 30_000), "image_too_large"),
    "no_pixels": (png_header(0, 10), "image_corrupt"),
    "too_large": (GOOD + bytes(MOST), "frame_too_large"),
    "too_large_base64": (base64.b64encode(GOOD + bytes(MOST)).decode(), "frame_too_large"),
    "too_large_in_object": ({"image": GOOD + bytes(MOST)}, "frame_too_large"),
    "surrogate_field": ({"image": GOOD, "\ud800": 1}, "unknown_field"),
    "unknown_field": ({"image": GOOD, "frameid": 1}, "unknown_field"),
    "confidence_text": ({"image": GOOD, "min_confidence": "0.5"}, "option_invalid"),
    "confidence_true": ({"image": GOOD, "min_confidence": True}, "option_invalid"),
    "confidence_above_one": ({"image": GOOD, "min_confidence": 1.01}, "option_invalid"),
    "confidence_huge": ({"image": GOOD, "min_confidence": 10**400}, "option_invalid"),
    "confidence_nan": ({"image": GOOD, "min_confidence": float("nan")}, "option_invalid"),
    "classes_number": ({"image": GOOD, "classes": 5}, "option_invalid"),
    "classes_of_numbers": ({"image": GOOD, "classes": [1]}, "option_invalid"),
    "classes_object": ({"image": GOOD, "classes": {"car": True}}, "option_invalid"),
    "class_unknown": ({"image": GOOD, "classes": ["unicorn"]}, "option_invalid"),
    "class_of_a_megabyte": ({"image": GOOD, "classes": ["x" * 500_000]}, "option_invalid"),
    "very_many_classes": ({"image": GOOD, "classes": ["car"] * 2_000}, "option_invalid"),
    "class_surrogate": ({"image": GOOD, "classes": ["\ud800"]}, "option_invalid"),
    "captured_at_text": ({"image": GOOD, "captured_at": "noon"}, "option_invalid"),
    "captured_at_huge": ({"image": GOOD, "captured_at": 10**400}, "option_invalid"),
    "captured_at_infinite": ({"image": GOOD, "captured_at": float("inf")}, "option_invalid"),
    "frame_id_list": ({"image": GOOD, "frame_id": [1]}, "option_invalid"),
    "frame_id_nested": ({"image": GOOD, "frame_id": [[["\ud800"]]]}, "option_invalid"),
    "frame_id_surrogate": ({"image": GOOD, "frame_id": "\ud800"}, "option_invalid"),
    "frame_id_half_an_emoji": ({"image": GOOD, "frame_id": "gate \ude00"}, "option_invalid"),
    "frame_id_true": ({"image": GOOD, "frame_id": True}, "option_invalid"),
    "frame_id_nan": ({"image": GOOD, "frame_id": float("nan")}, "option_invalid"),
    "frame_id_infinite": ({"image": GOOD, "frame_id": float("-inf")}, "option_invalid"),
    "frame_id_long": ({"image": GOOD, "frame_id": "x" * 129}, "option_invalid"),
    "frame_id_huge": ({"image": GOOD, "frame_id": 10**128}, "option_invalid"),
}


@pytest.fixture(scope="module")
async def stranger(live: Running) -> AsyncIterator[Camera]:
    async with camera(live.url, "stranger") as opened:
        yield opened


@pytest.fixture(scope="module")
async def neighbour(live: Running) -> AsyncIterator[Camera]:
    async with camera(live.url, "neighbour") as opened:
        yield opened


async def is_served(eye: Camera) -> None:
    """Assert that a valid frame of this camera gets results."""
    number = next(_seeds)
    await eye.push({"image": picture(number), "frame_id": number})
    event, payload = await eye.answer(number)
    assert event == "detection_results", payload


async def is_refused(eye: Camera, payload: Any) -> dict[str, Any]:
    """Send a payload; returns its only answer, an error."""
    before = eye.count()
    ack = await eye.push(payload)
    await eye.until(lambda _: eye.count() > before)
    await is_served(eye)  # on the same connection: a second answer would arrive before this one
    assert eye.count() == before + 2
    answers = [heard for heard in eye.heard if heard[0] in ("detection_results", "detection_error", "frame_skipped")]
    event, error = answers[before]
    assert event == "detection_error"
    assert set(error) == {"error", "code", "frame_id"}
    assert error["error"]
    assert isinstance(error["error"], str)
    assert error["error"].encode()
    assert len(error["error"]) < 500
    assert ack["status"] in ("error", "queued")  # queued: its header is valid
    if ack["status"] == "error":
        assert ack["reason"] == error["code"]
        assert ack["limits"]["max_side"] > 0
    assert isinstance(error, dict)
    return error


@pytest.mark.parametrize("name", CORPUS)
async def test_each_invalid_frame_gets_one_error_with_its_code(stranger: Camera, neighbour: Camera, name: str) -> None:
    payload, code = CORPUS[name]
    error, _ = await asyncio.gather(is_refused(stranger, payload), is_served(neighbour))
    assert error["code"] == code


@pytest.mark.parametrize("name", ["too_large", "class_unknown", "unknown_field"])
async def test_an_error_contains_the_frame_id(stranger: Camera, name: str) -> None:
    payload, code = CORPUS[name]
    options = payload if isinstance(payload, dict) else {"image": payload}
    error = await is_refused(stranger, {**options, "frame_id": f"frame of {name}"})
    assert (error["frame_id"], error["code"]) == (f"frame of {name}", code)


@pytest.mark.parametrize(
    ("field", "nearest"),
    [("frameid", "frame_id"), ("img", "image"), ("minconfidence", "min_confidence"), ("class", "classes")],
)
async def test_the_error_for_an_unknown_field_suggests_the_nearest_one(
    stranger: Camera, field: str, nearest: str
) -> None:
    error = await is_refused(stranger, {"image": GOOD, field: 1})
    assert f"'{field}'" in error["error"]
    assert f"did you mean '{nearest}'?" in error["error"]


async def test_an_unknown_event_is_named_in_unicode(stranger: Camera) -> None:
    assert (await stranger.call("half \ud800", 1))["reason"].startswith("event_unknown: 'half \\ud800'; known events")


async def test_a_frame_with_two_arguments_is_refused(stranger: Camera) -> None:
    error = await is_refused(stranger, (GOOD, {"frame_id": 1}))
    assert error["code"] == "frame_type"


async def test_a_frame_above_ten_megabytes_gets_an_error_and_the_connection_stays_open(serve: Serve) -> None:
    """A frame just below the limit is accepted as bytes and as base64; one above it gets an error."""
    noise = GOOD[:-2] + bytes(10_000_000 - len(GOOD)) + GOOD[-2:]
    async with serve() as running, camera(running.url) as eye:
        for number, image in enumerate((noise, base64.b64encode(noise).decode())):
            assert (await eye.push({"image": image, "frame_id": number}))["status"] in ("queued", "cached")
            await eye.answer(number)
        for image in (noise + b"\0", base64.b64encode(noise + b"\0\0\0").decode(), bytes(15_000_000)):
            error = await is_refused(eye, image)
            assert error["code"] == "frame_too_large"
            assert "10000000" in error["error"]


TEXT = st.text(st.characters(), max_size=50)
"""Also with unpaired surrogates, which JSON can carry."""
NUMBERS = st.integers() | st.floats() | st.sampled_from([2**53, 2**64, -(2**64), 10**99])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT | st.binary(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)
OPTIONS = st.dictionaries(
    st.sampled_from(["image", "frame_id", "captured_at", "min_confidence", "classes", "Image"]), JSON, max_size=5
)


@given(payload=st.one_of(JSON, OPTIONS))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_every_value_gets_exactly_one_answer(stranger: Camera, payload: Any) -> None:
    before = stranger.count()
    await stranger.push(payload)
    await stranger.until(lambda _: stranger.count() == before + 1)
    event, answer = next(heard for heard in reversed(stranger.heard) if heard[0] != "limits")
    assert event == "detection_error"
    assert answer["code"] in {code for _, code in CORPUS.values()}


@pytest.fixture(scope="module")
async def of_site(serve: Serve) -> AsyncIterator[Running]:
    """A service whose results all go to the bus of a site, which is away."""
    flags = {"flow__burst": "100", "site__device": "box1", "site__bus_servers": "nats://127.0.0.1:1"}
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True, **flags) as running:
        yield running


IDS = NUMBERS | st.text("a\ud800\udfff\U0001f600\0", max_size=3) | JSON


@given(options=st.fixed_dictionaries({}, optional={
    "frame_id": IDS, "captured_at": JSON, "min_confidence": NUMBERS, "classes": st.lists(TEXT, max_size=2),
}))  # fmt: skip
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_picture_with_any_options_is_refused_or_its_result_can_be_sent_on(
    of_site: Running, options: dict[str, Any]
) -> None:
    site = of_site.started.parts.site
    assert site.exchange is not None
    assert site.bus is not None
    all_wanted = {"device": "box2", "version": "1", "state": "ok", "headroom": 1.0, "capacity": 1.0, "wants": ["*"]}
    site.exchange.receive("site.presence", json.dumps(all_wanted).encode())
    async with camera(of_site.url, f"odd {next(_seeds)}") as eye:
        before = site.bus.dropped
        ack = await eye.push({"image": GOOD, **options})
        await eye.until(lambda _: eye.count() == 1)
        event, answer = next(heard for heard in reversed(eye.heard) if heard[0] != "limits")
        if event == "detection_error":
            assert answer["code"] == ack["reason"] == "option_invalid"
        else:
            assert event == "detection_results"
            assert site.bus.dropped > before  # the bus has got it, and is away
            if options.get("frame_id") is not None:
                assert json.dumps(answer["frame_id"]) == json.dumps(options["frame_id"])
    assert site.exchange.invalid == 0


@given(
    original=st.sampled_from([GOOD, saved("PNG"), saved("WEBP"), saved("JPEG")]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.floats(0, 1),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_damaged_picture_is_decoded_or_refused(
    stranger: Camera, original: bytes, changes: list[tuple[float, int]], cut: float
) -> None:
    data = bytearray(original)
    for place, value in changes:
        data[int(place * (len(data) - 1))] = value
    if cut < 0.5:
        del data[int(cut * 2 * len(data)) :]
    before = stranger.count()
    await stranger.push(bytes(data))
    await stranger.until(lambda _: stranger.count() == before + 1)
    event, answer = next(heard for heard in reversed(stranger.heard) if heard[0] != "limits")
    if event == "detection_error":
        assert answer["code"] in ("frame_empty", "image_unsupported", "image_corrupt", "image_too_large")
    else:
        assert event == "detection_results"


@pytest.mark.parametrize(
    "text",
    ["", "x", "4", "9", "42", "42[", '42["process_frame"', "42[]", "42{}", '42["connect"]', "451-", "40", "4" * 999],
)
async def test_invalid_engine_io_packets_close_at_most_their_own_connection(
    live: Running, neighbour: Camera, text: str
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(live.url + "/socket.io/?EIO=4&transport=websocket") as raw,
    ):
        await raw.receive_str()
        await raw.send_str("40")
        await raw.receive_str()
        await raw.send_str(text)
        await raw.send_bytes(b"\x00\x01\x02")
        await is_served(neighbour)
    assert (await neighbour.push(picture(next(_seeds))))["status"] == "queued"


# -- the same over HTTP ----------------------------------------------------------------------------------------------

STATUS = {"frame_too_large": 413}


@pytest.mark.parametrize("name", [name for name, (value, _) in CORPUS.items() if isinstance(value, bytes)])
async def test_http_refuses_the_same_pictures_with_the_same_codes(live: Running, name: str) -> None:
    image, code = CORPUS[name]
    async with aiohttp.ClientSession(live.url) as session:
        for data in (form(image=image), image):
            if code == "frame_empty" and data == image:
                continue  # no body at all
            async with session.post("/v1/vision/detection", data=data) as answer:
                body = await answer.json()
                assert answer.status == STATUS.get(code, 400)
                assert body["success"] is False
                assert body["code"] == code
                assert body["error"]
                assert body["duration"] == 0


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: form(other=b"x"), "frame_empty"),
        (lambda: form(image=GOOD, min_confidence="much"), "option_invalid"),
        (lambda: form(image=GOOD, min_confidence="2"), "option_invalid"),
        (lambda: form(image=GOOD, min_confidence="nan"), "option_invalid"),
        (lambda: None, "frame_empty"),
    ],
    ids=["no_image", "confidence_text", "confidence_above_one", "confidence_nan", "no_body"],
)
async def test_an_invalid_form_is_refused(
    live: Running, make: Callable[[], aiohttp.FormData | None], code: str
) -> None:
    async with aiohttp.ClientSession(live.url) as session, session.post("/v1/vision/detection", data=make()) as answer:
        assert answer.status == 400
        assert (await answer.json())["code"] == code


@pytest.mark.parametrize(
    "query",
    [
        "captured_at=nan", "captured_at=1e999", "min_confidence=nan", "min_confidence=1e999", "classes=%ED%A0%80",
        f"frame_id={'x' * 129}",
    ],
)  # fmt: skip
async def test_http_refuses_the_same_options_with_the_same_code(live: Running, query: str) -> None:
    url = URL(f"{live.url}/detect?{query}", encoded=True)
    async with aiohttp.ClientSession() as session, session.post(url, data=GOOD) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "option_invalid")


@pytest.mark.parametrize("text", ["%ED%A0%80", "%FF", "%F0%9F%98"])
async def test_text_in_a_query_that_is_no_unicode_is_replaced(live: Running, text: str) -> None:
    url = URL(f"{live.url}/detect?frame_id={text}", encoded=True)
    async with aiohttp.ClientSession() as session, session.post(url, data=GOOD) as answer:
        assert answer.status == 200
        assert set((await answer.json())["frame_id"]) == {"\ufffd"}


BOUNDARY = b"xxBOUNDARYxx"
PART = b'Content-Disposition: form-data; name="image"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        b"--" + BOUNDARY,
        b"--" + BOUNDARY + b"\r\n",
        b"--" + BOUNDARY + b"\r\n" + PART,
        b"--" + BOUNDARY + b"\r\n" + PART + GOOD,
        b"--" + BOUNDARY + b"\r\n" + PART + GOOD + b"\r\n--" + BOUNDARY,
        b"--" + BOUNDARY + b"\r\nno header at all\r\n\r\nx\r\n--" + BOUNDARY + b"--\r\n",
        b"--" + BOUNDARY + b"\r\nContent-Disposition: form-data\r\n\r\nx\r\n--" + BOUNDARY + b"--\r\n",
        b"--" + BOUNDARY + b"\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--" + BOUNDARY + b"--\r\n",
        b"--" + BOUNDARY + b"\r\nContent-Length: x\r\n" + PART + GOOD + b"\r\n--" + BOUNDARY + b"--\r\n",
        b"--" + BOUNDARY + b"\r\nContent-Transfer-Encoding: base64\r\n" + PART + b"@@\r\n--" + BOUNDARY + b"--\r\n",
    ],
    ids=[
        "empty", "garbage", "boundary", "boundary_line", "no_content", "cut_in_the_picture", "no_last_boundary",
        "no_header", "no_name", "nested", "length_text", "wrong_base64",
    ],
)  # fmt: skip
async def test_a_malformed_form_is_a_client_error(live: Running, body: bytes) -> None:
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}
    async with (
        aiohttp.ClientSession(live.url) as session,
        session.post("/v1/vision/detection", data=body, headers=headers) as answer,
    ):
        assert answer.status in (200, 400), await answer.text()  # 200: the picture is complete
        assert (await answer.json())["success"] is (answer.status == 200)


async def test_a_form_without_a_boundary_is_a_client_error(live: Running) -> None:
    headers = {"Content-Type": "multipart/form-data"}
    async with (
        aiohttp.ClientSession(live.url) as session,
        session.post("/v1/vision/detection", data=GOOD, headers=headers) as answer,
    ):
        assert answer.status == 400


# -- a service without a model ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["model_missing", "model_corrupt", "model_unsupported"])
async def test_without_a_model_every_interface_reports_it_and_the_service_stays_up(serve: Serve, code: str) -> None:
    def load(_: Settings) -> Network:
        raise ModelError(f"the model is gone ({code})", code)

    async with serve(load=load) as running, aiohttp.ClientSession(running.url) as session:
        async with camera(running.url) as eye:
            connected = await eye.first("connected")
            assert connected["model"] is None
            ack = await eye.push({"image": GOOD, "frame_id": 1})
            assert (ack["status"], ack["reason"]) == ("error", code)
            event, error = await eye.answer(1)
            assert (event, error["code"]) == ("detection_error", code)
            assert "is gone" in error["error"]
        async with session.post("/v1/vision/detection", data=form(image=GOOD)) as answer:
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) >= 1
            assert (await answer.json())["code"] == code
        async with session.post("/v1/vision/custom/list") as answer:
            assert (await answer.json())["models"] == []
        async with session.get("/health") as answer:
            assert answer.status == 503
            report = await answer.json()
            assert report["status"] == "critical"
            assert report["model_loaded"] is False
            assert "is gone" in json.dumps(report["findings"])
        async with session.get("/health/ready") as answer:
            assert answer.status == 503
        async with session.get("/health/live") as answer:
            assert answer.status == 200
