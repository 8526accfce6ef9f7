"""A server may be slow, broken or hostile: the fetch ends, says why, and leaves nothing behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from appliance.update.places import UpdateError
from tests.local_server import QuietHandler, serving
from tests.update.device import Device
from tests.update.operator import Operator

Misbehave = Callable[["_Handler"], bool]


class _Handler(QuietHandler, SimpleHTTPRequestHandler):
    """Serves a repository. `misbehave` answers in its place and returns True."""

    def __init__(self, *arguments: object, misbehave: Misbehave, **more: object) -> None:
        self.misbehave = misbehave
        super().__init__(*arguments, **more)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        try:
            if not self.misbehave(self):
                super().do_GET()
        except OSError:
            pass  # the device has had enough


@contextmanager
def _serving(folder: Path, misbehave: Misbehave = lambda _: False) -> Iterator[str]:
    with serving(partial(_Handler, directory=str(folder), misbehave=misbehave)) as server:
        yield server.url


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    operator = Operator(tmp_path / "operator/repository")
    operator.release("1.0", 1)
    return operator


@pytest.fixture
def device(tmp_path: Path, operator: Operator) -> Device:
    return Device(tmp_path / "device", operator)


def _large(handler: _Handler) -> bool:
    return ".large-" in handler.path


def _trickles(handler: _Handler) -> bool:
    if not _large(handler):
        return False
    handler.send_response(200)
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.02)
    return True


def _trickles_headers(handler: _Handler) -> bool:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\n")
    for number in range(1000):
        handler.wfile.write(f"X-{number}: y\r\n".encode()[: 1 + number % 4])
        time.sleep(0.02)
    return True


def _never_ends(handler: _Handler) -> bool:
    if not _large(handler):
        return False
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 40))
    handler.end_headers()
    while True:
        handler.wfile.write(b"\0" * 65_536)


def _ends_early(handler: _Handler) -> bool:
    if not _large(handler):
        return False
    handler.send_response(200)
    handler.send_header("Content-Length", "300000")
    handler.end_headers()
    handler.wfile.write(b"x" * 1000)
    return True


def _redirects(to: str) -> Misbehave:
    def misbehave(handler: _Handler) -> bool:
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.end_headers()
        return True

    return misbehave


def _fails(handler: _Handler) -> bool:
    if _large(handler):
        handler.send_error(503)
    return _large(handler)


def test_a_release_is_fetched_over_http(operator: Operator, device: Device) -> None:
    with _serving(operator.folder) as url:
        device.install(device.fetch(url))
    assert any(device.places.releases.iterdir())


@pytest.mark.parametrize(
    ("misbehave", "code", "reason"),
    [
        (_trickles, "update_unreachable", "too slow"),
        (_trickles_headers, "update_unreachable", ""),
        (_never_ends, "update_refused", "longer than its signed"),
        (_ends_early, "update_unreachable", "early"),
        (_redirects("/metadata/timestamp.json"), "update_unreachable", "more than 3 redirects"),
        (_redirects("file:///etc/passwd"), "update_unreachable", "only https"),
        (_fails, "update_unreachable", "answered 503"),
    ],
    ids=["trickle", "slow headers", "endless", "ends early", "redirect loop", "redirect to a file", "503"],
)
def test_a_server_that_misbehaves_is_given_up(
    operator: Operator, device: Device, misbehave: Misbehave, code: str, reason: str
) -> None:
    with _serving(operator.folder, misbehave) as url, pytest.raises(UpdateError) as caught:
        device.fetch(url, grace_s=0.3)
    assert caught.value.code == code
    assert reason in str(caught.value)
    assert device.unchanged


def test_plain_http_is_refused_unless_it_is_asked_for(tmp_path: Path, operator: Operator) -> None:
    from appliance.update import trust
    from appliance.update.sources import Fetcher
    from tests.update.operator import NOW_S

    with _serving(operator.folder) as url, pytest.raises(UpdateError, match="only https is allowed"):
        trust.Repository(url, tmp_path / "trusted", operator.root_key, Fetcher(tmp_path), NOW_S)


def test_an_absent_server_is_named(device: Device) -> None:
    with pytest.raises(UpdateError) as caught:
        device.fetch("http://127.0.0.1:9")
    assert caught.value.code == "update_unreachable"
    assert "127.0.0.1" in str(caught.value)
