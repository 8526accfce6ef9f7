"""Who sent a request, behind proxies and lies."""

from __future__ import annotations

import re
from types import SimpleNamespace
from unittest import mock

import pytest
from aiohttp.test_utils import make_mocked_request

from appliance.web import old_clients
from appliance.web.clients import Client, client_of, networks
from appliance.web.connections import Connections
from appliance.web.ingress.limiter import log_closed

PROXIES = networks(["10.0.0.0/8", "::1"])


def client(peer: str, headers: dict[str, str], proxies: tuple[str, ...] = ("10.0.0.0/8",)) -> Client:
    transport = mock.Mock()
    transport.get_extra_info.side_effect = lambda name, default=None: {"peername": (peer, 1)}.get(name, default)
    return client_of(make_mocked_request("GET", "/", headers=headers, transport=transport), networks(proxies))


def test_without_proxies_the_address_is_the_peers() -> None:
    assert client("192.168.1.7", {}) == Client("192.168.1.7", local=False, encrypted=False)
    assert client("127.0.0.1", {}) == Client("127.0.0.1", local=True, encrypted=False)
    assert client("::ffff:127.0.0.1", {}).local
    assert client("::ffff:192.168.1.7", {}).address == "192.168.1.7", "a socket for both versions"


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "X-Real-IP", "Via"])
def test_what_a_proxy_on_this_device_passes_on_is_not_local(header: str) -> None:
    assert not client("127.0.0.1", {header: "127.0.0.1"}).local
    assert not client("127.0.0.1", {header: "127.0.0.1"}, proxies=("127.0.0.1",)).local


def test_headers_of_strangers_are_not_believed() -> None:
    forged = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https"}
    assert client("192.168.1.7", forged) == Client("192.168.1.7", local=False, encrypted=False)


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("192.168.1.7", "192.168.1.7"),
        ("1.1.1.1, 192.168.1.7", "192.168.1.7"),
        ("127.0.0.1, 192.168.1.7, 10.1.1.1", "192.168.1.7"),
        ("192.168.1.7:5678", "192.168.1.7"),
        ("[fd00::7]:5678", "fd00::7"),
        ("", "10.0.0.1"),
    ],
)
def test_behind_a_trusted_proxy_the_address_is_the_last_untrusted_one(forwarded: str, address: str) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    assert client("10.0.0.1", headers).address == address


def test_a_trusted_proxy_says_whether_its_client_used_https() -> None:
    assert client("10.0.0.1", {"X-Forwarded-Proto": "https"}).encrypted
    assert not client("10.0.0.1", {"X-Forwarded-Proto": "http"}).encrypted
    assert not client("10.0.0.1", {"X-Forwarded-Proto": "https, http"}).encrypted, "the last proxy counts"


async def test_an_ipv4_client_is_logged_as_one_on_a_port_for_both_versions(caplog: pytest.LogCaptureFixture) -> None:
    transport = mock.Mock()
    transport.get_extra_info.side_effect = lambda name, default=None: {"peername": ("::ffff:10.99.7.1", 1)}.get(name)
    request = make_mocked_request("GET", "/socket.io/?EIO=3&transport=polling", transport=transport)
    await old_clients.refuse(request)
    server = SimpleNamespace(
        eio=SimpleNamespace(sockets={}),
        environ={"1": {"aiohttp.request": request}},
        manager=SimpleNamespace(eio_sid_from_sid=lambda sid, _: sid),
    )
    await Connections(server).drop("1", "odd")
    await Connections(server).end("1", "its token was revoked or replaced")
    log_closed("full", "::ffff:10.99.7.1", "too many")
    assert len(re.findall(r"(?<![:\d])10\.99\.7\.1", caplog.text)) == 4
    assert "::ffff" not in caplog.text
