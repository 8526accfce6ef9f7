"""Malformed requests and packets cannot flood or forge the log."""

from __future__ import annotations

import asyncio
import json
import logging

import aiohttp
import pytest

from appliance.device import logs
from tests.conftest import Serve
from tests.web.camera import camera
from tests.web.requests import picture

HOST = b" HTTP/1.1\r\nHost: localhost\r\n"
REQUESTS = (
    b"GET / HTTP/1.1\r\n\r\n",
    bytes.fromhex("160301020001000001fc0303") + bytes(500),
    b"OPTIONS rtsp://127.0.0.1/ RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    b"POST /v1/vision/detection" + HOST + b"Content-Length: x\r\n\r\n",
    b"GET /a b" + HOST + b"\r\n",
    b"GET /" + HOST + b"Cookie: " + b"x" * 9000 + b"\r\n\r\n",
    b"GET /" + HOST + b"Host: b\r\n\r\n",
    b"GET /" + HOST + b"X: \x1b[31m\x00\r\n\r\n",
    b"POST /v1/vision/detection" + HOST + b"Connection: close\r\n\r\n--x\r\n",
    b"POST /v1/vision/detection" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
)
PACKETS = (
    "", "x", "4", "9", "42[", "42{}", "42[]", "42[null]", "451-", "47", "bA", "bAAAAA", "42" + "[" * 50_000, "40/x,",
    "42/x,[1]",
    '42["process_frame",NaN]', '42["process_frame",1,2]', '42["subscribe",1,2]', '42["unsubscribe",1,2,3]',
)  # fmt: skip
FORGED = "bye\n00:00:00 ERROR   the disk is full\x1b[31m"


async def send(port: int, request: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await asyncio.wait_for(reader.read(100), 10)
    writer.close()


async def speak(session: aiohttp.ClientSession, url: str, packet: str) -> None:
    async with session.ws_connect(url + "/socket.io/?EIO=4&transport=websocket") as raw:
        await raw.receive_str()
        await raw.send_str("40")
        await raw.receive_str()
        await raw.send_str(packet)
        await raw.send_str('42["disconnect",' + json.dumps(FORGED) + "]")
        await raw.send_str("41")


async def poll(session: aiohttp.ClientSession, url: str, packet: str) -> None:
    path = url + "/socket.io/?EIO=4&transport=polling"
    async with session.get(path) as opened:
        sid = json.loads((await opened.text())[1:])["sid"]
    for body in ("40", packet, b"\xff"):
        async with session.post(f"{path}&sid={sid}", data=body) as answer:
            await answer.read()


@pytest.mark.parametrize("level", ["warning", "info"])
async def test_a_flood_of_invalid_requests_logs_few_lines_and_no_traceback(
    serve: Serve, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    logs.set_up(level, {})
    async with serve() as running, aiohttp.ClientSession() as session:
        logging.getLogger("appliance").warning("begin")
        for _ in range(4):
            for request in REQUESTS:
                await send(running.started.port, request)
            for packet in PACKETS:
                await speak(session, running.url, packet)
                await poll(session, running.url, packet)
        async with camera(running.url, "gate") as gate:
            await gate.push({"image": picture(1), "frame_id": 1})
            assert (await gate.answer(1))[0] == "detection_results"
    lines = capsys.readouterr().err.partition("begin\n")[2].split("\n")
    assert 1 < len(lines) < 100, "\n".join(lines)
    assert not any("Traceback" in line for line in lines)
    assert all(line == "" or line[2] == line[5] == ":" for line in lines), lines
    assert not any("disk is full" in line and r"bye\n" not in line for line in lines)
    assert all(line.isprintable() for line in lines)
