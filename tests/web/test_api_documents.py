"""`/openapi.json` and `/asyncapi.json` describe what the running service really does."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import aiohttp
import jsonschema
import msgspec
import pytest

from appliance.events.feed import Occupancy
from appliance.links.mqtt import documented, states
from appliance.links.mqtt.states import CameraPlan
from appliance.readings import Reading
from appliance.service.way_in import MQTT_COMMANDS
from appliance.values import Limits
from appliance.vitals.snapshot import UpdateView
from appliance.web import asyncapi, operations, policy
from appliance.web.packets import EVENTS
from tests.conftest import Running, Serve
from tests.fakes import CANARY_ROWS, FakeEngine
from tests.web.camera import Camera, camera
from tests.web.health_rig import HealthRig
from tests.web.requests import form, get, picture
from tests.web.schemas import Documented


@pytest.fixture(scope="module")
async def http(live: Running) -> Documented:
    return Documented((await get(live.url, "/openapi.json"))[1])


@pytest.fixture(scope="module")
async def events(live: Running) -> Documented:
    return Documented((await get(live.url, "/asyncapi.json"))[1])


async def test_every_route_is_in_the_document_and_nothing_else(live: Running, http: Documented) -> None:
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in live.started.parts.app.router.routes()
        if route.resource is not None
        and route.resource.canonical not in operations.UNDESCRIBED
        and route.method not in ("HEAD", "*")
    }
    described = {(method, path) for path, methods in http.document["paths"].items() for method in methods}
    assert described == routes
    assert {(method.lower(), path) for method, path in operations.OPERATIONS} == routes


async def test_every_event_is_in_the_document(events: Documented) -> None:
    assert set(asyncapi.RECEIVED) == set(EVENTS)
    messages = set(events.document["channels"]["socketio"]["messages"])
    assert messages == set(asyncapi.SENT) | set(EVENTS) | {f"{name}_ack" for name in EVENTS}


async def test_what_needs_a_token_says_which_roles_have_one(http: Documented) -> None:
    paths = http.document["paths"]
    assert "For the roles metrics, operator" in paths["/metrics"]["get"]["description"]
    for path, methods in paths.items():
        needs = policy.ROUTES[path] is not None or path in policy.SELF_CHECKED
        assert all(("security" in one) is needs for one in methods.values()), path


async def test_each_action_is_in_the_document(live: Running, http: Documented) -> None:
    described = http.document["paths"]["/actions/{name}"]["post"]
    _, offer = await get(live.url, "/actions")
    assert set(offer["actions"]) - {"log", "support_bundle"} <= set(described["parameters"][0]["schema"]["enum"])
    assert described["requestBody"]["content"]["application/json"]["schema"]["anyOf"]


async def test_the_documents_have_no_dangling_reference(http: Documented, events: Documented) -> None:
    for document in (http.document, events.document):
        for reference in _references(document):
            part: Any = document
            for key in reference.removeprefix("#/").split("/"):
                assert key in part, reference
                part = part[key]
        for schema in document["components"]["schemas"].values():
            jsonschema.Draft202012Validator.check_schema(schema)


def _references(part: Any) -> list[str]:
    if isinstance(part, list):
        return [found for one in part for found in _references(one)]
    if not isinstance(part, dict):
        return []
    own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
    return own + [found for one in part.values() for found in _references(one)]


TENSOR = {"name": "pixels", "shape": [1, 4, 4, 3], "datatype": "UINT8", "data": [0] * 48}
REQUESTS: list[tuple[str, str, int, dict[str, Any]]] = [
    *(("GET", path, 200, {}) for path in (
        "/", "/sw.js", "/openapi.json", "/asyncapi.json", "/health", "/health/live", "/health/ready",
        "/health/history", "/health/history?span=day", "/health/history?camera=gate", "/metrics",
        "/cameras/gate/areas", "/v2", "/v2/health/live",
        "/v2/health/ready", "/v2/models/fake", "/v2/models/fake/ready", "/session", "/actions", "/actions/log",
        "/site", "/actions/audit", "/v1/vision/custom/list", "/v1/status/ping", "/v1/server/status/version",
        "/v1/status/updateavailable",
    )),
    ("GET", "/.well-known/security.txt", 404, {}),
    ("GET", "/health/history?span=year", 400, {}),
    ("GET", "/cameras/none/latest.jpg", 404, {}),
    ("GET", "/events/none/picture.jpg", 404, {}),
    ("GET", "/v2/models/other", 404, {}),
    ("GET", "/page/0/none.js", 404, {}),
    ("POST", "/detect?min_confidence=0.1", 200, {"data": picture(1)}),
    ("POST", "/detect", 400, {"data": b"no picture"}),
    ("POST", "/v1/vision/detection", 200, {"data": form(image=picture(2))}),
    ("POST", "/v1/vision/custom/fake", 200, {"data": picture(3)}),
    ("POST", "/v1/vision/custom/other", 404, {"data": picture(3)}),
    ("POST", "/v2/models/fake/infer", 200, {"json": {"inputs": [TENSOR], "id": "7"}}),
    ("POST", "/v2/models/fake/infer", 200, {"json": {"inputs": [TENSOR], "parameters": {"binary_data_output": True}}}),
    ("POST", "/v2/models/fake/infer", 400, {"json": {"inputs": []}}),
    ("POST", "/session", 401, {"json": {"token": "wrong"}}),
    ("POST", "/session", 400, {"json": {}}),
    ("DELETE", "/session", 200, {}),
    ("POST", "/actions/self_test", 200, {"json": {}}),
    ("POST", "/actions/none", 404, {"json": {}}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "url", "status", "options"), REQUESTS, ids=lambda one: str(one)[:40])
async def test_each_answer_is_as_the_document_says(
    live: Running, http: Documented, method: str, url: str, status: int, options: dict[str, Any]
) -> None:
    async with aiohttp.ClientSession(live.url) as session, session.request(method, url, **options) as answer:
        body = await answer.read()
        assert answer.status == status, body
        value = json.loads(body) if answer.content_type == "application/json" else None
        http.check_answer(method, url.partition("?")[0], status, answer.content_type, value)


async def test_an_answer_with_an_undescribed_field_is_found(http: Documented) -> None:
    with pytest.raises(jsonschema.ValidationError):
        http.check_answer("GET", "/health/live", 200, "application/json", {"live": True, "more": 1})


async def test_each_event_is_as_the_document_says(serve: Serve, events: Documented) -> None:
    engine = FakeEngine(CANARY_ROWS)
    flags = {"flow__burst": "3", "flow__min_interval_s": "0.5", "events__on_delay_s": "0"}
    async with (
        serve(engine, wait_ready=True, **flags) as running,
        camera(running.url, "gate") as gate,
        camera(running.url, "viewer") as viewer,
    ):
        events.check_event("subscribe_ack", await viewer.call("subscribe", {"cameras": ["gate"], "after": "x-1"}))
        events.check_event("subscribe_ack", await viewer.call("subscribe", 5))
        await _send_all(gate, events)
        await viewer.first("event")
        events.check_event("unsubscribe_ack", await viewer.call("unsubscribe", {"cameras": ["gate"]}))
        heard = [*gate.heard, *viewer.heard]
    assert {name for name, _ in heard} >= {
        "connected", "detection_results", "detection_error", "frame_skipped", "event"
    }  # fmt: skip
    for name, payload in heard:
        events.check_event(name, payload)


async def test_a_picture_that_is_not_processed_is_as_the_document_says(serve: Serve, events: Documented) -> None:
    async with (
        serve(FakeEngine(CANARY_ROWS), wait_ready=True) as running,
        camera(running.url, "gate") as gate,
        camera(running.url, "viewer") as viewer,
    ):
        await viewer.call("subscribe", {"cameras": ["gate"]})
        running.started.parts.path.detector.apply(Limits(320, 0.0, 1, admit=False, reason="critical_temperature"))
        await gate.push({"image": picture(1), "frame_id": 1})
        events.check_event("picture", await viewer.first("picture"))


async def _send_all(gate: Camera, events: Documented) -> None:
    """Frames that are answered with a result, an error, and not at all."""
    for number, image in enumerate((picture(1), picture(1), b"no picture", picture(2), picture(3), picture(4))):
        frame = {"image": image, "frame_id": number, "captured_at": 1.5}
        events.check_event("process_frame_ack", await gate.push(frame))
        await gate.answer(number)


async def test_each_message_to_the_broker_is_as_the_document_says(events: Documented) -> None:
    channels = set(events.document["channels"])
    assert channels == {"socketio", *(one.name for one in documented.described(MQTT_COMMANDS))}
    rig = HealthRig()
    with_readings = rig.vitals.snapshot()
    update = UpdateView("0.1.0", "0.2.0", "notes")
    for snapshot in (with_readings, replace(with_readings, reading=Reading(at_s=1000.0), update=update)):
        events.check_message("state", msgspec.to_builtins(states.device_state(snapshot)))
        plan = CameraPlan("gate", ("person",), (("yard", ("person",)),))
        state = states.camera_state(plan, snapshot, Occupancy(Counter(person=1), {"yard": Counter(person=1)}))
        events.check_message("camera_state", msgspec.to_builtins(state))
