"""The wire protocol: every event, every field, every form of a frame (docs/wire.md)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import engineio
import pytest
import socketio

from appliance import __version__
from appliance.flow.mailboxes import MOST_PLACES
from appliance.values import Limits, Size
from appliance.vision import scene
from tests.conftest import Running, Serve
from tests.fakes import CANARY_ROWS, FakeEngine
from tests.web.camera import Camera, camera
from tests.web.requests import NUMBER, is_limits, picture


async def test_connected_contains_name_limits_and_model(serve: Serve) -> None:
    async with serve() as running, camera(running.url, "gate") as gate:
        connected = await gate.first("connected")
        assert set(connected) == {"status", "compression", "camera", "limits", "model", "version"}
        assert connected["status"] == "connected"
        assert connected["compression"] is True
        assert connected["camera"] == "gate"
        assert connected["model"] == "fake"
        assert connected["version"] == __version__
        assert is_limits(connected["limits"])


async def test_a_client_without_a_name_is_named_after_its_session_id(serve: Serve) -> None:
    async with serve() as running, camera(running.url) as nameless:
        assert (await nameless.first("connected"))["camera"] in (nameless.sid, f"c{nameless.sid}")


async def test_a_frame_that_comes_too_early_is_predicted_where_that_was_asked_for(serve: Serve) -> None:
    async with (
        serve(flow__tracks="true", flow__min_interval_s="0.3", flow__burst="1") as running,
        camera(running.url, "gate", predict=True) as gate,
        camera(running.url, "viewer") as viewer,
    ):
        await viewer.call("subscribe", {"cameras": ["gate"]})
        found: dict[str, Any] = {}
        for number in range(200):
            ack = await gate.push({"image": picture(number), "frame_id": number, "captured_at": number})
            event, found = await gate.answer(number)
            if event == "detection_results" and found.get("predicted") and found["detections"]:
                break
        assert (ack["status"], ack["reason"]) == ("skipped", "rate_limited")
        assert found["reason"] == "rate_limited"
        assert found["retry_after"] == ack["retry_after"]
        assert found["captured_at"] == number
        assert all("track_id" in one for one in found["detections"])
        assert gate.count() == number + 1
        assert not viewer.answers(number)


@pytest.mark.parametrize("first", ["_", "-", "a"])
async def test_an_unnamed_camera_is_answered_with_any_session_id(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    made = engineio.AsyncServer.generate_id
    monkeypatch.setattr(engineio.AsyncServer, "generate_id", lambda server: first + made(server)[1:])
    async with serve() as running, camera(running.url) as nameless, camera(running.url, "viewer") as viewer:
        name = (await nameless.first("connected"))["camera"]
        assert await viewer.call("subscribe", {"cameras": [name]}) == {"status": "subscribed", "cameras": [name]}
        await nameless.push({"image": picture(1), "frame_id": 1})
        assert (await nameless.answer(1))[0] == "detection_results"
        assert (await viewer.answer(1))[1]["camera"] == name


async def test_detection_results_carry_every_field_with_its_type(serve: Serve) -> None:
    async with serve() as running, camera(running.url, "gate") as gate:
        await gate.push({"image": picture(1), "frame_id": "a-7", "captured_at": 1700000000.25})
        event, found = await gate.answer("a-7")
        assert event == "detection_results"
        assert set(found) >= {
            "detections", "processing_time", "frame_id", "camera", "cached", "model", "image_size", "input_size",
            "timing",
        }  # fmt: skip
        assert isinstance(found["processing_time"], float)
        assert found["camera"] == "gate"
        assert found["cached"] is False
        assert found["model"] == "fake"
        assert found["captured_at"] == 1700000000.25
        assert found["image_size"] == {"width": 640, "height": 360}
        assert found["input_size"] == {"width": 640, "height": 384}
        assert set(found["timing"]) == {"wait_ms", "decode_ms", "infer_ms", "total_ms"}
        assert all(isinstance(value, NUMBER) and value >= 0 for value in found["timing"].values())
        (detection,) = found["detections"]
        assert set(detection) == {"name", "class", "confidence", "box"}
        assert detection["name"] == "stop sign"
        assert type(detection["class"]) is int
        assert detection["class"] == 2
        assert detection["confidence"] == pytest.approx(0.9, abs=1e-4)
        # The picture starts 12 px below the upper edge of the input.
        assert detection["box"] == {"x1": 10, "y1": 8, "x2": 110, "y2": 108}


async def test_detections_are_sorted_and_filtered_as_the_frame_requests(serve: Serve) -> None:
    rows = [(0, 20, 50, 60, 0.3, 0), (0, 20, 50, 60, 0.8, 1), (0, 20, 50, 60, 0.6, 0)]
    async with serve(FakeEngine(rows), flow__burst="20") as running, camera(running.url) as eye:
        data = picture(1)
        wishes: list[dict[str, Any]] = [{}, {"min_confidence": 0.5}, {"classes": ["car"]}, {"classes": "person"}]
        for number, options in enumerate(wishes):
            await eye.push({"image": data, "frame_id": number, **options})
            await eye.answer(number)
        heard = [(await eye.answer(number))[1]["detections"] for number in range(4)]
        assert [[d["confidence"] for d in found] for found in heard] == [
            pytest.approx(expected, abs=1e-4) for expected in ([0.8, 0.6, 0.3], [0.8, 0.6], [0.8], [0.6, 0.3])
        ]


async def test_the_acknowledgement_says_queued_then_cached(serve: Serve) -> None:
    async with serve() as running, camera(running.url) as eye:
        first = await eye.push({"image": picture(1), "frame_id": 1})
        assert first["status"] == "queued"
        assert is_limits(first["limits"])
        assert "reason" not in first
        await eye.answer(1)
        second = await eye.push({"image": picture(1), "frame_id": 2})
        assert second["status"] == "cached"
        assert is_limits(second["limits"])
        _, found = await eye.answer(2)
        assert found["cached"] == "exact"
        assert found["frame_id"] == 2
        assert running.engine.started <= 2  # the self-test, and one of them


async def test_acknowledgement_and_frame_skipped_contain_retry_after(serve: Serve) -> None:
    async with (
        serve(flow__min_interval_s="50", flow__burst="1") as running,
        camera(running.url, "slow") as slow,
    ):
        assert (await slow.push({"image": picture(1), "frame_id": 1}))["status"] == "queued"
        ack = await slow.push({"image": picture(2), "frame_id": 2})
        assert ack["status"] == "skipped"
        assert ack["reason"] == "rate_limited"
        assert 40 < ack["retry_after"] <= 50
        assert ack["limits"]["min_interval"] == 50
        event, skipped = await slow.answer(2)
        assert event == "frame_skipped"
        assert set(skipped) == {"frame_id", "reason", "retry_after"}
        assert skipped["reason"] == "rate_limited"
        assert skipped["retry_after"] == ack["retry_after"]
        assert (await slow.answer(1))[0] == "detection_results"


async def test_the_newest_frame_replaces_the_waiting_one(serve: Serve) -> None:
    engine = FakeEngine(CANARY_ROWS, slots=1)
    frames = 2 * MOST_PLACES  # more than may wait, even of a camera that keeps to its limits
    async with (
        serve(engine, wait_ready=True, flow__burst=f"{frames}") as running,  # none is refused as too early
        camera(running.url) as eye,
    ):
        engine.hold()
        for number in range(frames):
            await eye.push_blind({"image": picture(number), "frame_id": number})
        await eye.until(lambda _: eye.count() > 0)  # the engine is held: one was replaced
        engine.release()
        await eye.until(lambda _: eye.count() == frames)
        ends = [eye.answers(number)[0] for number in range(frames)]
        reasons = [payload["reason"] if event == "frame_skipped" else event for event, payload in ends]
        assert set(reasons) == {"detection_results", "superseded"}
        assert reasons[-1] == "detection_results"


async def test_an_overheated_device_answers_overloaded(serve: Serve) -> None:
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True) as running, camera(running.url) as eye:
        running.started.parts.path.detector.apply(Limits(320, 0.0, 1, admit=False, reason="critical_temperature"))
        ack = await eye.push({"image": picture(1), "frame_id": 1})
        assert ack["status"] == "skipped"
        assert ack["reason"] == "overloaded"
        assert ack["retry_after"] > 0
        assert (await eye.answer(1))[1]["reason"] == "overloaded"


def _of(client: Camera, event: str) -> list[Any]:
    return [payload for name, payload in client.heard if name == event]


async def test_a_camera_can_be_aimed_while_the_device_is_too_hot(serve: Serve) -> None:
    async with (
        serve(FakeEngine(CANARY_ROWS), wait_ready=True, flow__burst="100") as running,
        camera(running.url, "gate") as gate,
        camera(running.url) as viewer,
        aiohttp.ClientSession(running.url) as session,
    ):
        running.started.parts.path.detector.apply(Limits(320, 0.0, 1, admit=False, reason="critical_temperature"))
        await gate.push({"image": picture(1), "frame_id": 1})
        assert _of(viewer, "picture") == []  # nobody watches
        await viewer.call("subscribe", {"cameras": ["gate"]})
        for number in (2, 3, 4):
            await gate.push({"image": picture(number), "frame_id": number})
            assert (await gate.answer(number))[1]["reason"] == "overloaded"
        shown = await viewer.first("picture")
        assert (shown["camera"], shown["frame_id"], shown["reason"]) == ("gate", 2, "critical_temperature")
        assert len(_of(viewer, "picture")) == 1  # one in flow.aiming_interval_s
        assert _of(gate, "picture") == []
        async with session.get("/cameras/gate/latest.jpg") as answer:
            assert (answer.status, answer.headers["X-Frame-Id"]) == (200, "2")
            assert await answer.read() == picture(2)


async def test_new_limits_are_pushed_to_every_camera(serve: Serve) -> None:
    async with serve() as running, camera(running.url, "a") as a, camera(running.url, "b") as b:
        await a.first("connected")
        await b.first("connected")
        running.started.parts.path.detector.apply(Limits(320, 1.5, 1, reason="temperature"))
        for eye in (a, b):
            await eye.until(lambda heard: any(p["max_side"] == 320 for event, p in heard if event == "limits"))
            limits = [p for event, p in eye.heard if event == "limits"][-1]
            assert is_limits(limits)
            assert limits["min_interval"] >= 1.5
            assert limits["reason"] == "temperature"


async def test_a_camera_gets_lower_limits_when_others_send_too(serve: Serve) -> None:
    engine = FakeEngine()
    engine.hold()  # nothing is measured yet: the service assumes a frame's cost
    async with serve(engine) as running, camera(running.url, "a") as a:
        alone = (await a.first("connected"))["limits"]["min_interval"]
        async with camera(running.url, "b") as b, camera(running.url, "c") as c:
            for number, eye in enumerate((a, b, c)):
                await eye.push(picture(number))
            await a.until(lambda heard: any(p["min_interval"] > 2 * alone for e, p in heard if e == "limits"))
            assert (await a.first("limits"))["reason"] == "fair_share"


@pytest.mark.parametrize(
    "form",
    [
        lambda data: base64.b64encode(data).decode(),
        lambda data: "data:image/jpeg;base64," + base64.b64encode(data).decode(),
        lambda data: base64.encodebytes(data).decode(),
        lambda data: data,
    ],
    ids=["base64", "data_url", "mime_base64", "bytes"],
)
@pytest.mark.parametrize("in_object", [False, True], ids=["bare", "in_object"])
@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_every_form_of_a_frame_is_accepted(
    live: Running, form: Callable[[bytes], Any], in_object: bool, transport: str
) -> None:
    async with camera(live.url, transports=[transport]) as eye:
        image = form(picture(1))
        await eye.push({"image": image} if in_object else image)
        found = await eye.first("detection_results")
        assert found["image_size"] == {"width": 640, "height": 360}
        assert type(found["frame_id"]) is int


@pytest.mark.parametrize("kind", [".png", ".webp", ".jpg"])
async def test_jpeg_png_and_webp_are_read(live: Running, kind: str, tmp_path: Path) -> None:
    import cv2

    path = tmp_path / f"scene{kind}"
    cv2.imwrite(str(path), scene.draw(Size(320, 240))[0])
    async with camera(live.url) as eye:
        await eye.push(path.read_bytes())
        assert (await eye.first("detection_results"))["image_size"] == {"width": 320, "height": 240}


@pytest.mark.parametrize(
    "frame_id", [0, -5, 2**62, 10**20, 1764332000.123, 1.5, -0.0, 1e300, 5e-324, "", "gate/7", "ünïcode ✓", "x" * 128]
)
async def test_the_frame_id_is_returned_unchanged(live: Running, frame_id: int | float | str) -> None:
    async with camera(live.url) as eye:
        await eye.push({"image": picture(1), "frame_id": frame_id})
        _, payload = await eye.answer(frame_id)
        assert type(payload["frame_id"]) is type(frame_id)


async def test_frames_without_an_id_are_numbered(live: Running) -> None:
    async with camera(live.url) as eye:
        for number in range(3):
            await eye.push(picture(number))
            await eye.nth("detection_results", number + 1)
        ids = [payload["frame_id"] for event, payload in eye.heard if event == "detection_results"]
        assert ids == sorted(set(ids))


async def test_a_client_of_the_first_protocol_version_works_unchanged(serve: Serve) -> None:
    """It sends base64 text and knows only `connected`, `detection_results` and `detection_error`."""
    client: Any = socketio.AsyncClient(reconnection=False)
    events: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    @client.on("connected")  # type: ignore[untyped-decorator]  # socketio has no types
    def on_connected(data: Any) -> None:
        events.put_nowait(("connected", data))

    @client.on("detection_results")  # type: ignore[untyped-decorator]
    def on_results(data: Any) -> None:
        events.put_nowait(("detection_results", data))

    @client.on("detection_error")  # type: ignore[untyped-decorator]
    def on_error(data: Any) -> None:
        events.put_nowait(("detection_error", data))

    async with serve() as running:
        await client.connect(running.url)
        assert (await asyncio.wait_for(events.get(), 20))[0] == "connected"
        await client.emit("process_frame", base64.b64encode(picture(1)).decode())
        event, found = await asyncio.wait_for(events.get(), 20)
        assert event == "detection_results"
        assert found["detections"][0]["class"] == 2
        assert isinstance(found["processing_time"], float)
        await client.emit("process_frame", "this is no picture")
        event, error = await asyncio.wait_for(events.get(), 20)
        assert event == "detection_error"
        assert error["error"]
        await client.disconnect()


async def test_a_subscriber_gets_the_results_of_its_cameras_only(serve: Serve) -> None:
    async with (
        serve() as running,
        camera(running.url, "gate") as gate,
        camera(running.url, "yard") as yard,
        camera(running.url, "viewer") as viewer,
    ):
        assert await viewer.call("subscribe", {"cameras": ["gate"]}) == {"status": "subscribed", "cameras": ["gate"]}
        await yard.push({"image": picture(1), "frame_id": "y1"})
        await gate.push({"image": picture(2), "frame_id": "g1"})
        event, found = await viewer.answer("g1")
        assert event == "detection_results"
        assert found["camera"] == "gate"
        assert (await viewer.call("unsubscribe", {"cameras": ["gate"]}))["status"] == "unsubscribed"
        await gate.push({"image": picture(3), "frame_id": "g2"})
        await gate.answer("g2")
        assert (await viewer.call("subscribe", {"cameras": "*"})) == {"status": "subscribed", "cameras": ["*"]}
        await yard.push({"image": picture(4), "frame_id": "y2"})
        await gate.push({"image": picture(5), "frame_id": "g3"})
        await viewer.answer("y2")
        await viewer.answer("g3")
        assert [p["frame_id"] for event, p in viewer.heard if event == "detection_results"] in (
            ["g1", "y2", "g3"],
            ["g1", "g3", "y2"],
        )


async def test_a_subscriber_to_all_gets_its_own_results_once(serve: Serve) -> None:
    async with serve() as running, camera(running.url, "both") as both:
        await both.call("subscribe", {"cameras": "*"})
        await both.push({"image": picture(1), "frame_id": 1})
        await both.answer(1)
        await both.push({"image": picture(2), "frame_id": 2})
        await both.answer(2)
        assert len(both.answers(1)) == 1


@pytest.mark.parametrize(
    "payload", [None, 5, "gate", [], {}, {"cameras": "gate"}, {"cameras": [1]}, {"cameras": ["no\nlines please"]}]
)
async def test_an_invalid_subscription_is_refused(live: Running, payload: Any) -> None:
    async with camera(live.url) as viewer:
        for event in ("subscribe", "unsubscribe"):
            ack = await viewer.call(event, payload)
            assert ack["status"] == "error"
            assert ack["reason"].startswith("option_invalid")


async def test_unsubscribing_without_a_subscription_does_no_harm(live: Running) -> None:
    async with camera(live.url) as viewer:
        assert (await viewer.call("unsubscribe", {"cameras": ["gate"]}))["status"] == "unsubscribed"
        await viewer.push({"image": picture(1), "frame_id": 1})
        assert (await viewer.answer(1))[0] == "detection_results"


async def test_two_connections_with_one_name_share_its_limits(serve: Serve) -> None:
    async with (
        serve(access__name_taken="share") as running,
        camera(running.url, "gate") as one,
        camera(running.url, "gate") as two,
    ):
        await one.first("connected")
        await two.first("connected")
        running.started.parts.path.detector.apply(Limits(320, 0.0, 1, reason="memory"))
        await one.first("limits")
        await two.first("limits")
        await one.push({"image": picture(1), "frame_id": "one"})
        await one.answer("one")
        await two.push({"image": picture(2), "frame_id": "two"})
        await two.answer("two")
        assert not one.answers("two")  # an acknowledgement goes to the sender only


async def test_the_subscriptions_of_a_viewer_are_limited(live: Running) -> None:
    async with camera(live.url, "viewer") as viewer:
        for part in range(3):
            await viewer.call("subscribe", {"cameras": [f"camera-{part}-{number}" for number in range(1000)]})
        assert len(live.started.parts.path.publisher._subscriptions._followers) <= 1000
