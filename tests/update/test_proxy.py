"""Releases are reached through the HTTP proxy of a site: the check, the download, and what a person starts."""

from __future__ import annotations

import base64
import os
import pwd
import select
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from appliance.commands import updates
from appliance.settings.schema import Settings
from appliance.settings.schema.update import UpdateSettings
from appliance.update import last_check, proxy
from appliance.update.places import UpdateError, UpdatePlaces
from tests.local_server import LocalServer, QuietHandler, serving
from tests.tls import certificates
from tests.update.device import Device
from tests.update.operator import Operator

_SERVER = "updates.example"
"""A name that only the proxy can find."""


class _Proxy(QuietHandler):
    """Tunnels to one server, whatever it is asked for."""

    def __init__(self, *arguments: object, to: int, seen: list[tuple[str, str]], **more: object) -> None:
        self._to, self._seen = to, seen
        super().__init__(*arguments, **more)  # type: ignore[arg-type]

    def do_CONNECT(self) -> None:
        self._seen.append((self.path, self.headers.get("Proxy-Authorization", "")))
        if self.path.startswith("forbidden"):
            self.send_error(407)
            return
        with socket.create_connection(("127.0.0.1", self._to)) as server:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: server, server: self.connection}
            while ready := select.select(list(ends), [], [], 10)[0]:
                for end in ready:
                    if not (data := end.recv(65536)):
                        return
                    ends[end].sendall(data)


class _Files(QuietHandler, SimpleHTTPRequestHandler): ...


@contextmanager
def _site(folder: Path, certificate: certificates.Written | None, seen: list[tuple[str, str]]) -> Iterator[int]:
    """A repository behind a proxy; yields the proxy's port."""
    server = LocalServer(partial(_Files, directory=str(folder)))
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with server.running(), serving(partial(_Proxy, to=server.server_port, seen=seen)) as found:
        yield found.server_port


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    operator = Operator(tmp_path / "operator/repository")
    operator.release("1.0", 1)
    return operator


def test_a_release_is_fetched_over_https_through_a_proxy(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certificates.write(tmp_path, name=_SERVER)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
    seen: list[tuple[str, str]] = []
    with _site(operator.folder, certificate, seen) as port:
        through = proxy.read(f"http://device:p%40ss@127.0.0.1:{port}")
        offer = Device(tmp_path / "device", operator).fetch(f"https://{_SERVER}", through=through)
    assert offer.version == "1.0"
    assert set(seen) == {(f"{_SERVER}:443", f"Basic {base64.b64encode(b'device:p@ss').decode()}")}


def test_a_proxy_that_refuses_or_is_absent_is_named_without_its_password(operator: Operator, tmp_path: Path) -> None:
    device = Device(tmp_path / "device", operator)
    with _site(operator.folder, None, []) as port:
        through = proxy.read(f"http://device:secret@127.0.0.1:{port}")
        with pytest.raises(UpdateError, match=rf"forbidden\.example through the proxy \S+:{port}: .*407") as refused:
            device.fetch("http://forbidden.example", through=through)
    with pytest.raises(UpdateError, match=r"through the proxy 127\.0\.0\.1:9: .*refused") as absent:
        device.fetch(f"http://{_SERVER}", through=proxy.read("http://device:secret@127.0.0.1:9"))
    assert "secret" not in f"{refused.value}{absent.value}"


@pytest.mark.parametrize(
    ("setting", "environ", "found"),
    [
        ("", {}, None),
        ("http://10.0.0.1:3128", {"https_proxy": "http://10.0.0.2:8080"}, "10.0.0.1:3128"),
        ("", {"https_proxy": "http://10.0.0.2:8080"}, "10.0.0.2:8080"),
        ("", {"HTTPS_PROXY": "proxy:8080"}, "proxy:8080"),
        ("", {"http_proxy": "http://10.0.0.2:8080"}, None),
    ],
)
def test_a_setting_comes_before_the_environment(setting: str, environ: dict[str, str], found: str | None) -> None:
    seen = proxy.find(setting, environ)
    assert (str(seen) if seen else None) == found


@pytest.mark.parametrize(
    ("not_for", "host", "used"),
    [
        ("", _SERVER, True),
        ("other.example, example", _SERVER, False),
        (".example", _SERVER, False),
        ("ample", _SERVER, True),
        ("10.0.0.3", "10.0.0.3", False),
        ("*", _SERVER, False),
    ],
)
def test_hosts_of_no_proxy_are_reached_directly(not_for: str, host: str, used: bool) -> None:
    found = proxy.find("", {"https_proxy": "http://10.0.0.2:8080", "no_proxy": not_for})
    assert found
    assert found.serves(host) is used


def test_an_invalid_proxy_is_an_error_with_the_setting(tmp_path: Path) -> None:
    for environ in ({"https_proxy": "https://10.0.0.2:8080"}, {"https_proxy": "http://10.0.0.2:99999"}):
        with pytest.raises(UpdateError, match=r"Set update\.proxy"):
            updates.fetcher(Settings(), UpdatePlaces(tmp_path), environ)
        assert "the proxy is invalid" in last_check.read(UpdatePlaces(tmp_path).last_check).problem  # for /health


@pytest.mark.parametrize(
    ("through", "environ", "passed"),
    [
        ("http://u:secret@10.0.0.1:3128", {"https_proxy": "http://10.0.0.2:8080"}, "http://u:secret@10.0.0.1:3128"),
        ("", {"https_proxy": "http://10.0.0.2:8080"}, "http://10.0.0.2:8080"),
        ("", {}, ""),
    ],
)
def test_what_a_person_starts_uses_the_proxy_and_does_not_show_its_password(
    through: str, environ: dict[str, str], passed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[list[str], str]] = []

    def run(command: list[str], *, env: dict[str, str], **_: object) -> subprocess.CompletedProcess[bytes]:
        started.append((command[1:], env.get("https_proxy", "")))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(pwd, "getpwnam", lambda _: pwd.getpwuid(os.getuid()))
    assert updates.as_unprivileged(["fetch"], through, environ) == 0
    assert started == [(["update", "fetch"], passed)]


def test_the_settings_take_a_proxy(tmp_path: Path) -> None:
    made = updates.fetcher(Settings(update=UpdateSettings(proxy="http://10.0.0.1:3128")), UpdatePlaces(tmp_path), {})
    assert str(made._proxy) == "10.0.0.1:3128"
