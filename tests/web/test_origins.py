"""Foreign hosts and pages are refused; the names of the device, and proxies, are accepted."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from appliance.web.origins import is_ours, may_use, search_domains
from tests.conftest import Running, Serve
from tests.web.requests import POLLING, WEBSOCKET, form, picture

MACHINE = socket.gethostname()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.0.0.1:8080", "192.168.1.50:80", "[::1]", "[fe80::1%25eth0]:8080", "localhost",
        "localhost:8080", "a.localhost", "box.local", "BOX.LOCAL:8080", "box.local.", "box", "appliance:8080",
        MACHINE, f"{MACHINE}:1",
        f"{MACHINE.partition('.')[0]}.site.example", "cams.example.com", "CAMS.example.com.:443", "a.b.example.org",
    ],
)  # fmt: skip
def test_host_names_of_the_device_are_accepted(host: str) -> None:
    assert is_ours(host, ("cams.example.com", ".example.org"), ("site.example",))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "box.local.evil.example", "evilcams.example.com",
        "x.cams.example.com", "example.org", f"{MACHINE}.evil.example", "", "a b", "evil.example#.local",
        "evil.example/.local", "user@box.local", "[::1", "[evil.example]", "1.2.3.4.5", "\x1b", "évil.local",
    ],
)  # fmt: skip
def test_host_names_that_a_stranger_can_own_are_refused(host: str) -> None:
    assert not is_ours(host, ("cams.example.com", ".example.org"), ("site.example",))


def test_a_star_allows_every_name() -> None:
    assert is_ours("evil.example", ("*",))


@pytest.mark.parametrize(
    ("origin", "hosts"),
    [
        ("http://box.local:8080", ("box.local:8080",)),
        ("HTTP://Box.local", ("box.local:80",)),
        ("https://cams.example.com", ("10.0.0.5:8080", "cams.example.com")),  # the proxy terminates TLS
        ("https://cams.example.com", ("cams.example.com:443",)),
        ("http://[::1]:8080", ("[::1]:8080",)),
        ("https://a.example", ("10.0.0.5",)),
    ],
)
def test_pages_of_the_device_are_allowed(origin: str, hosts: tuple[str, ...]) -> None:
    assert may_use(origin, hosts, ("https://A.example/",))


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "file://", "http://10.0.0.5:81", "http://10.0.0.5:8080.evil.example", "x", "://"],
)
def test_pages_from_elsewhere_are_refused(origin: str) -> None:
    assert not may_use(origin, ("10.0.0.5:8080", ""), ("https://a.example",))
    assert may_use(origin, ("10.0.0.5:8080",), ("*",))


def test_search_domains_are_read_from_resolv_conf(tmp_path: Path) -> None:
    assert search_domains(tmp_path) == ()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").write_text("nameserver 10.0.0.1\nsearch Site.example. lan\n\ndomain other.example\n")
    assert search_domains(tmp_path) == ("site.example", "lan", "other.example")


async def post(url: str, **headers: str) -> tuple[int, dict[str, Any]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession(url, headers=named) as session,
        session.post("/v1/vision/detection", data=form(image=picture(1))) as answer,
    ):
        return answer.status, await answer.json()


@pytest.mark.parametrize("path", ["/health", "/", "/v1/status/ping", POLLING, "/cameras/gate/latest.jpg", "/nowhere"])
async def test_requests_with_a_foreign_host_are_refused(live: Running, path: str) -> None:
    async with (
        aiohttp.ClientSession(headers={"Host": "evil.example:8080"}) as session,
        session.get(live.url + path) as answer,
    ):
        assert answer.status == 403
        body = await answer.json()
        assert (body["success"], body["code"]) == (False, "host_refused")
        assert "evil.example:8080" in body["error"]
        assert "server.allowed_hosts" in body["error"]


@pytest.mark.parametrize("header", [b"Host: evil\xff.example", b"Host: box.local\r\nOrigin: http://evil\xff.example"])
async def test_a_refusal_quotes_bytes_that_are_no_text_as_valid_unicode(live: Running, header: bytes) -> None:
    address = URL(live.url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(b"POST /detect HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n" + header + b"\r\n\r\n")
    status, _, answer = (await reader.read()).partition(b"\r\n")
    writer.close()
    refusal = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert status.split()[1].startswith(b"4")
    assert "evil\\udcff.example" in refusal["error"]
    assert refusal["error"].encode()


async def test_a_websocket_with_a_foreign_host_is_refused(live: Running) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(
                live.url + WEBSOCKET, headers={"Host": "evil.example", "Origin": "http://evil.example"}
            )
        assert refused.value.status == 403


async def test_the_origin_of_the_esp32_websockets_library_is_accepted(live: Running) -> None:
    """The library sends this Origin in each handshake."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(live.url + WEBSOCKET, headers={"Origin": "file://"}) as raw,
    ):
        assert (await raw.receive_str()).startswith("0{")


async def test_a_picture_from_a_foreign_page_is_refused(live: Running) -> None:
    for origin in ("http://evil.example", "null", "https://127.0.0.1"):
        status, answer = await post(live.url, Origin=origin)
        assert (status, answer["success"], answer["code"]) == (403, False, "origin_refused")
        assert "server.cors_origins" in answer["error"]
    for headers in ({}, {"Origin": live.url}):
        assert (await post(live.url, **headers))[0] == 200


@pytest.fixture(scope="module")
async def proxied(serve: Serve) -> AsyncIterator[Running]:
    async with serve(server__allowed_hosts="cams.example.com", access__auth="off") as running:
        yield running


PROXIES = {
    "host_passed_on": {"Host": "cams.example.com"},
    "host_passed_on_with_its_scheme": {"Host": "cams.example.com", "X-Forwarded-Proto": "https"},
    "own_host": {"X-Forwarded-Host": "cams.example.com", "X-Forwarded-Proto": "https"},
    "two_proxies": {"X-Forwarded-Host": "cams.example.com, 10.0.0.7", "X-Forwarded-Proto": "https, http"},
}


@pytest.mark.parametrize("headers", PROXIES.values(), ids=PROXIES)
async def test_a_page_behind_a_proxy_is_served(proxied: Running, headers: dict[str, str]) -> None:
    headers = {**headers, "Origin": "https://cams.example.com"}
    assert (await post(proxied.url, **headers))[0] == 200
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.get(proxied.url + "/health") as answer:
            assert answer.status in (200, 503)
        async with session.get(proxied.url + POLLING) as answer:
            assert answer.status == 200
        async with session.ws_connect(proxied.url + WEBSOCKET) as raw:
            assert (await raw.receive_str()).startswith("0{")


async def test_a_proxy_that_names_the_device_by_its_address_needs_no_setting(serve: Serve) -> None:
    async with serve(access__auth="off") as running:
        assert (await post(running.url, **PROXIES["own_host"], Origin="https://cams.example.com"))[0] == 200


async def test_the_host_of_a_configured_origin_is_accepted(serve: Serve) -> None:
    async with serve(server__cors_origins="https://cams.example.com:8443, not an origin") as running:
        assert (await post(running.url, Host="cams.example.com", Origin="https://cams.example.com:8443"))[0] == 200
        assert (await post(running.url, Host="evil.example"))[0] == 403


async def test_allowing_all_origins_does_not_allow_all_hosts(serve: Serve) -> None:
    async with serve(profile="development") as running:
        assert (await post(running.url, Origin="http://evil.example"))[0] == 200
        status, answer = await post(running.url, Host="evil.example", Origin="http://evil.example")
        assert (status, answer["code"]) == (403, "host_refused")
