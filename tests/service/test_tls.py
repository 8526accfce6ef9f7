"""HTTPS on the port of the running service."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from appliance.camera.failures import Rejected
from appliance.camera.link import connected
from appliance.service.listening import listen
from appliance.service.run import announced_facts
from appliance.tls import pin
from appliance.tls.server import ServerTls, TlsRules
from appliance.web.ingress.limiter import ConnectionLimiter
from tests.conftest import Running, Serve
from tests.fakes import CANARY_ROWS, FakeEngine
from tests.service.ports import Greeter, taking
from tests.tls import certificates
from tests.web.ingress.peers import LIMITS
from tests.web.requests import picture

STRANGER = {"X-Forwarded-For": "192.168.1.7", "X-Forwarded-Proto": "http"}
"""A request that the trusted proxy got over plain HTTP from another machine."""


@pytest.fixture(scope="module")
async def device(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    state = str(tmp_path_factory.mktemp("state"))
    flags = {"server__host": "0.0.0.0", "state__dir": state, "server__trusted_proxies": "127.0.0.1"}
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True, **flags) as running:
        yield running


def pinned(device: Running) -> str:
    """The device's URL with the pin of its key."""
    return pin.with_pin(device.url.replace("http://", "https://"), device.report()["tls"]["key_sha256"])


async def test_an_agent_that_pins_the_key_gets_results(device: Running) -> None:
    async with connected(pinned(device), {"name": "gate"}) as link:
        event, payload = await link.send({"image": picture(1), "frame_id": 1})
    assert (event, payload["camera"]) == ("detection_results", "gate")


async def test_the_announcement_names_the_model_and_the_certificate(device: Running) -> None:
    tls, network = device.started.parts.encryption.tls.state, device.started.parts.path.detector.network
    assert tls is not None
    assert network is not None
    announced = announced_facts(device.started.parts)
    assert announced["model"] == network.info.name != ""
    assert (announced["fingerprint"], announced["sha256"]) == (tls.facts.fingerprint, tls.facts.key_pin)


async def test_over_polling_too(device: Running) -> None:
    async with connected(pinned(device), {"name": "gate"}, "polling") as link:
        assert link.camera == "gate"


async def test_an_agent_sends_nothing_to_a_device_with_another_key(device: Running) -> None:
    url = pin.with_pin(device.url.replace("http://", "https://"), "00" * 32)
    with pytest.raises(Rejected, match="another device answers"):
        async with connected(url, {"name": "gate", "token": "secret"}):
            pass


async def test_without_a_pin_the_devices_own_certificate_is_not_trusted(device: Running) -> None:
    with pytest.raises(Rejected, match=r"not trusted \(.*\)\. Use the URL with #sha256="):
        async with connected(device.url.replace("http://", "https://"), {"name": "gate"}):
            pass


async def test_a_certificate_authority_takes_the_place_of_a_pin(serve: Serve, tmp_path: Path) -> None:
    written = certificates.write(tmp_path)
    flags = {"tls__certificate": str(written.certificate), "tls__key": str(written.key), "state__dir": str(tmp_path)}
    async with serve(FakeEngine(CANARY_ROWS), **flags) as running:
        url = running.url.replace("http://127.0.0.1", "https://localhost")
        async with connected(url, {"name": "gate"}, ca_file=str(written.certificate)) as link:
            assert link.camera == "gate"
        assert running.report()["tls"]["made_by_device"] is False


async def test_programs_on_the_device_may_use_http(device: Running) -> None:
    async with connected(device.url, {"name": "gate"}) as link:
        assert link.camera == "gate"


async def test_a_page_is_redirected_and_everything_else_refused(device: Running) -> None:
    async with aiohttp.ClientSession(headers=STRANGER) as session:
        async with session.get(f"{device.url}/health?x=1", allow_redirects=False) as response:
            assert response.status == 308
            assert response.headers["Location"] == f"{device.url.replace('http://', 'https://')}/health?x=1"
        for method, path in (("POST", "/v1/vision/detection"), ("GET", "/socket.io/?EIO=4&transport=polling")):
            async with session.request(method, device.url + path) as response:
                answer = json.loads(await response.text())
                assert (response.status, answer["code"]) == (403, "tls_required")
        async with session.get(f"{device.url}/health/live") as response:
            assert response.status == 200


async def test_a_proxy_on_the_device_that_nobody_has_named_may_use_http(serve: Serve, tmp_path: Path) -> None:
    """A redirect would send its clients in circles."""
    async with (
        serve(FakeEngine(CANARY_ROWS), server__host="0.0.0.0", state__dir=str(tmp_path)) as running,
        aiohttp.ClientSession(headers=STRANGER) as session,
        session.get(f"{running.url}/health", allow_redirects=False) as response,
    ):
        assert response.status != 308


async def test_plain_http_can_be_allowed(serve: Serve, tmp_path: Path) -> None:
    flags = {"server__host": "0.0.0.0", "state__dir": str(tmp_path), "tls__plain_http": "allow"}
    flags["server__trusted_proxies"] = "127.0.0.1"
    async with (
        serve(FakeEngine(CANARY_ROWS), **flags) as running,
        aiohttp.ClientSession(headers=STRANGER) as session,
        session.get(f"{running.url}/health") as response,
    ):
        assert response.status != 308
        assert running.report()["tls"] is not None


async def test_on_a_loopback_address_there_is_no_tls(serve: Serve) -> None:
    async with serve(FakeEngine(CANARY_ROWS)) as running:
        assert running.report()["tls"] is None


async def test_old_versions_of_tls_are_refused(device: Running) -> None:
    port = int(device.url.rpartition(":")[2])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
    writer.close()
    context.set_ciphers("AES128-SHA")  # neither forward secrecy nor authenticated encryption
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", port, ssl=context)


@contextlib.contextmanager
def stalled(port: int) -> Iterator[socket.socket]:
    """A client that begins a handshake and sends nothing more."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"\x16\x03\x01")
        yield client


@pytest.fixture(scope="module")
def own_tls(tmp_path_factory: pytest.TempPathFactory) -> ServerTls:
    tls = ServerTls(TlsRules(enabled=True), tmp_path_factory.mktemp("own"))
    tls.refresh()
    return tls


async def test_a_stalled_handshake_makes_room_for_a_new_connection(serve: Serve, tmp_path: Path) -> None:
    flags = {"server__host": "0.0.0.0", "state__dir": str(tmp_path), "server__max_connections": "1"}
    async with serve(FakeEngine(CANARY_ROWS), **flags) as running:
        limiter, port = running.started.parts.limiter, int(running.url.rpartition(":")[2])
        limiter.limits = dataclasses.replace(limiter.limits, max_open=1)
        with stalled(port) as client:
            client.settimeout(20)
            with anyio.fail_after(10):
                while len(limiter) < 1:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)  # the handshake has begun
            async with connected(running.url, {"name": "gate"}) as link:
                assert link.camera == "gate"
            assert await asyncio.get_running_loop().run_in_executor(None, _is_closed, client)


def _is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(100) == b""
    except ConnectionError:
        return True


async def test_a_stalled_handshake_ends_after_the_time_for_headers(own_tls: ServerTls) -> None:
    limiter = ConnectionLimiter(dataclasses.replace(LIMITS, header_timeout_s=1), lambda: 0.0)
    port = await listen([], "127.0.0.1", 0, limiter, lambda address, give_up: Greeter(), lambda: own_tls.context)
    async with taking(port):
        with stalled(port.number) as client:
            client.settimeout(20)
            assert await asyncio.get_running_loop().run_in_executor(None, _is_closed, client)


async def test_a_connection_buffers_one_record(own_tls: ServerTls) -> None:
    """asyncio's own buffer is 256 kB: half a gigabyte for the clients that the service accepts."""
    limiter = ConnectionLimiter(LIMITS, lambda: 0.0)
    greeters: list[Greeter] = []

    def connect(address: str, give_up: object) -> Greeter:
        greeters.append(Greeter())
        return greeters[-1]

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    port = await listen([], "127.0.0.1", 0, limiter, connect, lambda: own_tls.context)
    async with taking(port):
        _, writer = await asyncio.open_connection("127.0.0.1", port.number, ssl=context)
        with anyio.fail_after(10):
            while not hasattr(greeters[0] if greeters else None, "transport"):
                await asyncio.sleep(0.01)
        transport: Any = greeters[0].transport
        layer = transport._ssl_protocol
        assert len(getattr(layer, "_ssl_buffer", b"")) <= 20_000
        writer.transport.abort()
        transport.abort()
