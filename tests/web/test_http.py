"""The HTTP routes: pictures, the page, and the DeepStack API."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from appliance import __version__
from appliance.identity.brake import Brake
from appliance.identity.tokens import TokenStore
from appliance.values import Limits
from appliance.web import identify
from appliance.web.access import Access
from appliance.web.authenticator import Authenticator
from appliance.web.frame_parser import FrameParser
from appliance.web.http_cameras import HttpCameras
from appliance.web.http_frames import HttpFrames
from appliance.web.respond import Respond
from appliance.web.vision_api import VisionApi
from tests.conftest import Running, Serve
from tests.fakes import CANARY_ROWS, FakeClock, FakeEngine, broken_engine
from tests.web.camera import camera
from tests.web.requests import form, picture


async def detect(
    session: aiohttp.ClientSession, image: bytes, path: str = "/v1/vision/detection", **fields: str
) -> tuple[int, Any]:
    async with session.post(path, data=form(image=image, **fields)) as answer:
        return answer.status, await answer.json()


# -- DeepStack and CodeProject.AI ------------------------------------------------------------------------------------


async def test_detection_responds_in_the_deepstack_format(serve: Serve) -> None:
    rows = [(0, 20, 50, 60, 0.5, 0), (100, 112, 200, 212, 0.9, 1), (0, 20, 50, 60, 0.3, 2)]
    async with serve(FakeEngine(rows)) as running, aiohttp.ClientSession(running.url) as session:
        status, answer = await detect(session, picture(1))
        assert status == 200
        assert answer["success"] is True
        assert isinstance(answer["duration"], float | int)
        assert [p["label"] for p in answer["predictions"]] == ["car", "person"]  # 0.40 is DeepStack's default
        assert answer["predictions"][0] == {
            "confidence": pytest.approx(0.9, abs=1e-4),
            "label": "car",
            "x_min": 100, "y_min": 100, "x_max": 200, "y_max": 200,
        }  # fmt: skip
        assert {
            "count", "message", "command", "moduleId", "executionProvider", "canUseGPU", "inferenceMs", "processMs",
            "analysisRoundTripMs", "timestampUTC",
        } <= set(answer)  # fmt: skip
        assert answer["count"] == 2
        assert answer["message"] == "Found car, person"


@pytest.mark.parametrize("field", ["min_confidence", "minconfidence"])
async def test_detection_applies_min_confidence(serve: Serve, field: str) -> None:
    rows = [(0, 20, 50, 60, confidence, 0) for confidence in (0.1, 0.35, 0.6, 0.85)]
    async with serve(FakeEngine(rows)) as running, aiohttp.ClientSession(running.url) as session:
        for least, count in (("0.8", 1), ("0.3", 3), ("0", 4)):
            _, answer = await detect(session, picture(count), **{field: least})
            confidences = [p["confidence"] for p in answer["predictions"]]
            assert len(confidences) == count
            assert confidences == sorted(confidences, reverse=True)


async def test_the_picture_may_be_the_request_body(live: Running) -> None:
    async with (
        aiohttp.ClientSession(live.url) as session,
        session.post("/v1/vision/detection?min_confidence=0.95", data=picture(7)) as answer,
    ):
        assert answer.status == 200
        assert (await answer.json())["predictions"] == []


@pytest.mark.parametrize("given", [{}, {"api_key": "wrong"}, {"api_key": "schlüssel"}, {"api_key": ""}])
async def test_without_the_api_key_nothing_is_detected(serve: Serve, given: dict[str, str]) -> None:
    async with serve(server__api_key="secret") as running, aiohttp.ClientSession(running.url) as session:
        status, answer = await detect(session, picture(1), **given)
        assert status == 401
        assert answer == {"success": False, "error": "Incorrect api key", "code": "unauthorized", "duration": 0}
        status, answer = await detect(session, picture(1), api_key="secret")
        assert (status, answer["success"]) == (200, True)


async def test_a_malformed_form_for_the_list_of_models_is_refused(live: Running) -> None:
    headers = {"Content-Type": "multipart/form-data"}
    async with (
        aiohttp.ClientSession(live.url, headers=headers) as session,
        session.post("/v1/vision/custom/list") as answer,
    ):
        assert (answer.status, (await answer.json())["code"]) == (400, "frame_type")


async def test_models_are_listed_and_have_their_own_route(live: Running) -> None:
    async with aiohttp.ClientSession(live.url) as session:
        async with session.post("/v1/vision/custom/list") as listed:
            assert await listed.json() == {"success": True, "models": ["fake"]}
        status, answer = await detect(session, picture(1), "/v1/vision/custom/fake")
        assert (status, answer["success"]) == (200, True)
        status, answer = await detect(session, picture(1), "/v1/vision/custom/ipcam-animal")
        assert (status, answer["success"], answer["code"]) == (404, False, "model_not_here")
        assert "fake" in answer["error"]


@pytest.mark.parametrize("name", ["ipcam-general", "ipcam-combined", "general", "IPcam-General"])
async def test_general_models_are_aliases_of_the_active_model(live: Running, name: str) -> None:
    async with aiohttp.ClientSession(live.url) as session:
        status, answer = await detect(session, picture(1), f"/v1/vision/custom/{name}")
        assert (status, answer["success"]) == (200, True)


async def test_min_confidence_may_have_a_decimal_comma(serve: Serve) -> None:
    rows = [(0, 20, 50, 60, confidence, 0) for confidence in (0.35, 0.6, 0.85)]
    async with serve(FakeEngine(rows)) as running, aiohttp.ClientSession(running.url) as session:
        for least, count in (("0,5", 2), ("0,3", 3)):
            status, answer = await detect(session, picture(count), min_confidence=least)
            assert (status, answer["count"]) == (200, count)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/v1/vision/face", "/v1/vision/scene", "/v1", "/v1/", "/v1/vision/custom/a/b", "/v1/status/x"]
)
async def test_an_unknown_route_responds_in_the_deepstack_format(live: Running, method: str, path: str) -> None:
    async with aiohttp.ClientSession(live.url) as session, session.request(method, path, data=b"x") as answer:
        assert answer.status == 404
        body = await answer.json()
        assert (body["success"], body["code"]) == (False, "not_found")
        assert "/v1/vision/detection" in body["error"]


@pytest.mark.parametrize("path", ["/v1/vision/detection", "/v1/vision/custom/fake"])
async def test_other_methods_than_post_get_a_405(live: Running, path: str) -> None:
    async with aiohttp.ClientSession(live.url) as session, session.get(path) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        body = await answer.json()
        assert (body["success"], body["code"]) == (False, "method_not_allowed")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("place", ["/v1", "/v1/server"])
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("ping", {"success": True, "message": "pong"}),
        ("version", {"success": True, "version": __version__}),
        ("updateavailable", {"success": True, "updateAvailable": False}),
    ],
)
async def test_status_queries_are_answered(
    live: Running, path: str, fields: dict[str, Any], place: str, method: str
) -> None:
    async with (
        aiohttp.ClientSession(live.url) as session,
        session.request(method, f"{place}/status/{path}") as answer,
    ):
        assert answer.status == 200
        assert fields.items() <= (await answer.json()).items()


async def test_a_busy_device_refuses_at_once_with_retry_after(serve: Serve) -> None:
    engine = FakeEngine(CANARY_ROWS)
    async with serve(engine, wait_ready=True) as running, aiohttp.ClientSession(running.url) as session:
        engine.hold()
        asked = [asyncio.create_task(detect(session, picture(number))) for number in range(8)]
        detector = running.started.parts.path.detector
        with anyio.fail_after(20):
            while detector.in_flight + detector.waiting < 8:
                await asyncio.sleep(0.005)
        async with session.post("/v1/vision/detection", data=form(image=picture(99))) as answer:
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) >= 1
            body = await answer.json()
            assert (body["success"], body["code"]) == (False, "overloaded")
        engine.release()
        assert [status for status, _ in await asyncio.gather(*asked)] == [200] * 8


@pytest.mark.parametrize("path", ["/detect", "/v1/vision/detection", "/v2/models/fake/infer"])
async def test_a_frame_that_comes_too_early_is_refused_before_it_is_read(serve: Serve, path: str) -> None:
    """It would cost its decoding from base64, its header and, for KServe, a tensor of pixels."""
    rates = {"flow__min_interval_s": "30", "flow__burst": "1"}
    async with (
        serve(FakeEngine(CANARY_ROWS), wait_ready=True, **rates) as running,
        aiohttp.ClientSession(running.url) as session,
    ):
        for expected in (400, 503):  # the first one is read, and is no picture
            async with session.post(path, data=b"no picture") as answer:
                assert answer.status == expected
                body = await answer.json()
        assert (body["code"], int(answer.headers["Retry-After"])) == ("overloaded", 30)
        camera = running.started.parts.path.pace.stats()["http-127.0.0.1"]
        assert (camera.received, camera.failed, camera.skipped) == (2, 1, {"rate_limited": 1})


async def test_an_overheated_device_refuses_http_requests(serve: Serve) -> None:
    async with (
        serve(FakeEngine(CANARY_ROWS), wait_ready=True) as running,
        aiohttp.ClientSession(running.url) as session,
    ):
        running.started.parts.path.detector.apply(Limits(320, 0.0, 1, admit=False, reason="critical_temperature"))
        async with session.post("/v1/vision/detection", data=form(image=picture(1))) as answer:
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) >= 5  # flow.aiming_interval_s
            assert (await answer.json())["code"] == "overloaded"


async def test_an_engine_failure_is_a_500(serve: Serve) -> None:
    engine = FakeEngine(CANARY_ROWS)
    async with serve(engine, wait_ready=True) as running, aiohttp.ClientSession(running.url) as session:
        engine.error = broken_engine()
        status, answer = await detect(session, picture(1))
        assert (status, answer["code"], answer["success"]) == (500, "engine_failed", False)


class Broken:
    """A detector with a bug."""

    network = None

    @property
    def admission(self) -> None:
        raise KeyError("admission")


async def test_an_internal_error_responds_in_the_deepstack_format() -> None:
    parser = FrameParser(max_frame_bytes=200_000, max_pixels=10**7, min_confidence=0.25, clock=FakeClock())
    respond = Respond(compression=False, compression_min_bytes=0)
    detector: Any = Broken()
    authenticator = Authenticator(Access(), TokenStore(None), Brake(FakeClock()))
    app = web.Application(middlewares=[identify.middleware(authenticator, respond)])
    cameras = HttpCameras(authenticator, lambda name: False, FakeClock())
    app.add_routes(VisionApi(HttpFrames(detector, parser, respond, cameras)).routes())
    async with TestServer(app) as server, aiohttp.ClientSession(server.make_url("/")) as session:
        status, answer = await detect(session, picture(1))
        assert (status, answer["success"], answer["code"]) == (500, False, "internal_error")


# -- pictures and headers --------------------------------------------------------------------------------------------


async def test_the_latest_picture_exists_only_while_a_client_is_subscribed(live: Running) -> None:
    address = "/cameras/filmed/latest.jpg"
    async with aiohttp.ClientSession(live.url) as session, camera(live.url, "filmed") as filmed:
        await filmed.push({"image": picture(1), "frame_id": 1})
        await filmed.answer(1)
        async with session.get(address) as answer:
            assert answer.status == 404
            assert (await answer.json())["code"] == "no_picture"
        async with camera(live.url) as viewer, camera(live.url) as other:
            await viewer.call("subscribe", {"cameras": ["filmed"]})
            await other.call("subscribe", {"cameras": ["elsewhere"]})
            await filmed.push({"image": picture(2), "frame_id": 2})
            await filmed.answer(2)
            async with session.get(address) as answer:
                assert answer.status == 200
                assert answer.content_type == "image/jpeg"
                assert answer.headers["X-Frame-Id"] == "2"
                assert answer.headers["Cache-Control"] == "no-store"
                assert await answer.read() == picture(2)
            await viewer.call("unsubscribe", {"cameras": ["filmed"]})
            async with session.get(address) as answer:
                assert answer.status == 404


async def test_keep_pictures_keeps_the_latest_picture_without_subscribers(serve: Serve) -> None:
    address = "/cameras/gate/latest.jpg"
    async with (
        serve(server__keep_pictures="true", flow__burst="100") as running,
        aiohttp.ClientSession(running.url) as session,
    ):
        async with camera(running.url, "gate") as gate:
            for number in (1, 2):
                await gate.push({"image": picture(number), "frame_id": number})
                await gate.answer(number)
                async with session.get(address) as answer:
                    assert (answer.status, await answer.read()) == (200, picture(number))
            async with camera(running.url) as viewer:
                await viewer.call("subscribe", {"cameras": "*"})
                await viewer.call("unsubscribe", {"cameras": "*"})
            async with session.get(address) as answer:
                assert answer.status == 200
        with anyio.fail_after(10):
            while True:
                async with session.get(address) as answer:
                    if answer.status == 404:
                        assert "server.keep_pictures" in (await answer.json())["error"]
                        break


async def test_frames_for_calibration_are_kept_only_if_the_settings_say_so(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "state/calibration-frames"
    for most in ("0", "5"):
        flags = {"state.dir": str(tmp_path / "state"), "model.calibration_frames": most}
        async with serve(**flags) as running, camera(running.url, "gate") as gate:
            await gate.push({"image": picture(1), "frame_id": 1})
            await gate.answer(1)
            if most == "5":
                with anyio.fail_after(10):
                    while not (folder / "0000.jpg").exists():
                        await anyio.sleep(0.01)
        assert folder.exists() == (most == "5")


async def test_the_latest_picture_requires_the_viewer_token(serve: Serve) -> None:
    async with (
        serve(server__viewer_token="let me see") as running,
        aiohttp.ClientSession(running.url) as session,
        camera(running.url, token="let me see") as viewer,
        camera(running.url, "gate") as gate,
    ):
        await viewer.call("subscribe", {"cameras": "*"})
        await gate.push({"image": picture(1), "frame_id": 1})
        await gate.answer(1)
        for query, status in (("", 401), ("?token=wrong", 401), ("?token=schl%C3%BCssel", 401)):
            async with session.get(f"/cameras/gate/latest.jpg{query}") as answer:
                assert answer.status == status
        async with session.get("/cameras/gate/latest.jpg", params={"token": "let me see"}) as answer:
            assert answer.status == 200


async def test_long_json_is_compressed_for_clients_that_accept_it(serve: Serve) -> None:
    async with (
        serve(server__compression_min_bytes="300") as running,
        aiohttp.ClientSession(running.url, auto_decompress=False, headers={"Accept-Encoding": "gzip"}) as session,
    ):
        async with session.get("/health") as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
        async with session.get("/health/live") as answer:  # too short for compression
            assert "Content-Encoding" not in answer.headers
        async with session.get("/health", headers={"Accept-Encoding": "identity"}) as answer:
            assert "Content-Encoding" not in answer.headers
            json.loads(await answer.read())


async def test_compression_can_be_switched_off(serve: Serve) -> None:
    async with (
        serve(server__compression="false") as running,
        aiohttp.ClientSession(running.url, auto_decompress=False, headers={"Accept-Encoding": "gzip"}) as session,
        session.get("/health") as answer,
        camera(running.url) as eye,
    ):
        assert "Content-Encoding" not in answer.headers
        assert (await eye.first("connected"))["compression"] is False


@pytest.mark.parametrize("path", ["/", "/health", "/page/page.js", "/metrics", "/v1/status/ping", "/nowhere"])
async def test_every_response_has_security_headers(live: Running, path: str) -> None:
    async with aiohttp.ClientSession(live.url) as session, session.get(path) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe-inline" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/page/x/..%2fapp.py", "/page/x/%2e%2e%2fapp.py", "/page/x/nothing.js", "/page/x/", "/page/"]
)
async def test_only_files_of_the_page_are_served(live: Running, path: str) -> None:
    from yarl import URL

    async with (
        aiohttp.ClientSession() as session,
        session.get(URL(live.url + path, encoded=True)) as answer,
    ):
        assert answer.status == 404


@pytest.mark.parametrize(
    "headers",
    [
        b"Connection: Upgrade\r\nUpgrade: websock\xaat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n",
        b"Expect: 100\xff-continue\r\n",
    ],
)
async def test_headers_that_are_not_text_are_a_bad_request(live: Running, headers: bytes) -> None:
    reader, writer = await asyncio.open_connection(*live.url.removeprefix("http://").split(":"))
    writer.write(b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\n" + headers + b"\r\n")
    try:
        assert (await asyncio.wait_for(reader.readline(), 20)).startswith(b"HTTP/1.1 400")
    finally:
        writer.close()


@pytest.mark.parametrize("headers", [{}, {"Connection": "close"}, {"Upgrade": "h2c", "Connection": "Upgrade"}])
async def test_a_websocket_without_upgrade_headers_is_a_bad_request(live: Running, headers: dict[str, str]) -> None:
    async with (
        aiohttp.ClientSession(live.url) as session,
        session.get("/socket.io/?EIO=4&transport=websocket", headers=headers) as answer,
    ):
        assert answer.status == 400
        assert "proxy" in await answer.text()


async def test_a_client_that_disconnects_during_its_upload_is_not_an_internal_error(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(FakeEngine()) as running:
        _, writer = await asyncio.open_connection(*running.url.removeprefix("http://").split(":"))
        writer.write(
            b"POST /v1/vision/detection HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\n"
            b"Content-Length: 5000\r\n\r\nhalf a picture"
        )
        with anyio.fail_after(20):
            while not running.started.parts.limiter.budget.bytes:
                await asyncio.sleep(0.02)
            writer.transport.abort()
            while not any("cannot read the request body" in record.getMessage() for record in caplog.records):
                await asyncio.sleep(0.02)
    assert not [record for record in caplog.records if record.exc_info]


async def test_an_incomplete_body_is_freed_at_once(serve: Serve) -> None:
    async with serve(FakeEngine()) as running:
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            for _ in range(5):
                _, writer = await asyncio.open_connection(*running.url.removeprefix("http://").split(":"))
                writer.write(
                    b"POST /v1/vision/detection HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000000\r\n\r\n"
                )
                writer.write(bytes(2_000_000))
                with anyio.fail_after(20):
                    while running.started.parts.limiter.budget.bytes < 2_000_000:
                        await asyncio.sleep(0.02)
                writer.transport.abort()
            with anyio.fail_after(20):
                while (held_bytes := tracemalloc.get_traced_memory()[0]) > 3_000_000:
                    await asyncio.sleep(0.02)
            assert held_bytes <= 3_000_000
        finally:
            tracemalloc.stop()
            gc.enable()
