"""Third-party clients: the official JavaScript client, python-socketio, and curl."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import socketio

from appliance.vision import decode
from tests.clients.conftest import INSTALLED
from tests.conftest import Running, Serve
from tests.fakes import CANARY_ROWS, FakeEngine
from tests.web.requests import is_limits, picture


@pytest.fixture(scope="module")
async def live(serve: Serve) -> AsyncIterator[Running]:
    """A service with a short ping interval, so that polling clients disconnect quickly."""
    settings = {"server__ping_interval_s": "1", "server__ping_timeout_s": "1"}
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True, **settings) as running:
        yield running


@pytest.fixture
def picture_file(tmp_path: Path) -> Path:
    path = tmp_path / "frame.jpg"
    path.write_bytes(picture(1))
    return path


async def output_of(*command: str, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=os.environ | environment
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, (out + err).decode()
    return out.decode()


@pytest.mark.parametrize("form", ["text", "binary"])
@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_the_official_javascript_client_is_answered(
    live: Running, node: str, picture_file: Path, transport: str, form: str
) -> None:
    script = str(Path(__file__).with_name("client.js"))
    client = str(INSTALLED / "node_modules" / "socket.io-client")
    text = await output_of(node, script, live.url, transport, form, str(picture_file), SOCKET_IO_CLIENT=client)
    report = json.loads(text)
    assert report["status"] == "answered"
    assert report["transport"] == transport
    received = dict(report["received"])
    assert received["connected"]["camera"] == "javascript"
    assert received["ack"]["status"] in ("queued", "cached")
    assert is_limits(received["ack"]["limits"])
    found = received["detection_results"]
    assert found["detections"][0]["name"] == "stop sign"
    assert found["frame_id"] == "js-1" if form == "binary" else isinstance(found["frame_id"], int)


@pytest.mark.parametrize("form", ["text", "binary"])
@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_large_frames_of_the_javascript_client_arrive_complete(
    live: Running, node: str, tmp_path: Path, transport: str, form: str
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    large = tmp_path / "large.jpg"
    large.write_bytes(decode.encode_jpeg(noise, 95))
    assert large.stat().st_size > 1_000_000
    script = str(Path(__file__).with_name("client.js"))
    client = str(INSTALLED / "node_modules" / "socket.io-client")
    text = await output_of(node, script, live.url, transport, form, str(large), SOCKET_IO_CLIENT=client)
    assert dict(json.loads(text)["received"])["detection_results"]["image_size"] == {"width": 1200, "height": 900}


@pytest.mark.parametrize("form", ["text", "binary"])
@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]], ids="+".join)
async def test_the_async_client_of_python_socketio_is_answered(live: Running, transports: list[str], form: str) -> None:
    client = socketio.AsyncSimpleClient()
    await client.connect(live.url, transports=transports)
    assert (await client.receive(timeout=10))[0] == "connected"
    data = picture(3)
    await client.emit("process_frame", base64.b64encode(data).decode() if form == "text" else data)
    event, found = await client.receive(timeout=10)
    assert event == "detection_results"
    assert found["image_size"] == {"width": 640, "height": 360}
    await client.disconnect()


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_a_client_of_socket_io_2_gets_an_explanation(
    live: Running, node: str, old_client: Path, transport: str
) -> None:
    script = str(Path(__file__).with_name("old.js"))
    text = await output_of(node, script, live.url, transport, SOCKET_IO_CLIENT=str(old_client))
    assert "requires Socket.IO 5" in text
    assert "socket.io-client 3 or 4" in text


async def test_curl_reads_health_as_json(live: Running, curl: str) -> None:
    report = json.loads(await output_of(curl, "-sS", "--fail", f"{live.url}/health"))
    assert report["status"] in ("ok", "degraded")
    assert report["model_loaded"] is True
    compressed = json.loads(await output_of(curl, "-sS", "--fail", "--compressed", f"{live.url}/health"))
    assert compressed.keys() == report.keys()


async def test_curl_gets_detections_of_a_form_and_of_a_body(live: Running, curl: str, picture_file: Path) -> None:
    address = f"{live.url}/v1/vision/detection"
    form = ("-F", f"image=@{picture_file}", "-F", "min_confidence=0.5")
    body = ("--data-binary", f"@{picture_file}", "-H", "Content-Type: image/jpeg")
    posted = ("--data-binary", f"@{picture_file}")  # curl calls it a URL-encoded form
    for arguments in (form, body, posted):
        answer = json.loads(await output_of(curl, "-sS", "--fail", *arguments, address))
        assert answer["success"] is True
        assert {p["label"] for p in answer["predictions"]} == {"stop sign"}
    refused = await output_of(curl, "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-F", "image=nonsense", address)
    assert refused == "400"
