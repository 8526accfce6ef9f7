"""The real service with the real model, from outside."""

from __future__ import annotations

from typing import Any

import pytest
import socketio

from tests.conftest import Serve, ServiceProcess

pytestmark = pytest.mark.model


def test_health_carries_the_fields_of_the_contract(service_process: ServiceProcess) -> None:
    status, report = service_process.get("/health")
    assert status == 200
    assert report["status"] == "ok"
    assert report["model_loaded"] is True
    assert {"timestamp", "active_connections", "cache_size", "findings", "device", "governor", "engine", "cameras",
            "version"} <= set(report)  # fmt: skip


async def test_a_drawn_sign_is_found_where_it_was_drawn(service_process: ServiceProcess, scene_jpeg: bytes) -> None:
    client = socketio.AsyncSimpleClient()
    await client.connect(service_process.url, transports=["websocket"])
    await client.emit("process_frame", {"image": scene_jpeg, "frame_id": 7})
    answer: list[Any] = []
    while not answer or answer[0] != "detection_results":
        answer = await client.receive(timeout=10)
    await client.disconnect()
    (found,) = answer[1]["detections"]
    assert found["name"] == "stop sign"
    assert found["confidence"] > 0.8
    assert abs(found["box"]["x1"] - 527) < 20
    assert answer[1]["frame_id"] == 7


async def test_a_fake_engine_serves_too(serve: Serve, scene_jpeg: bytes) -> None:
    async with serve(wait_ready=False) as running:
        client = socketio.AsyncSimpleClient()
        await client.connect(running.url, transports=["websocket"])
        await client.emit("process_frame", scene_jpeg)
        answer: list[Any] = []
        while not answer or answer[0] != "detection_results":
            answer = await client.receive(timeout=10)
        await client.disconnect()
        assert answer[1]["detections"][0]["name"] == "stop sign"
