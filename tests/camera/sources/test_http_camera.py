"""Cameras over HTTP: whatever a browser shows arrives, and whatever else there is gets a sentence."""

from __future__ import annotations

import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator

import pytest

from appliance.camera.sources import http_camera, open_source, url
from appliance.camera.sources.http_auth import Login
from appliance.camera.sources.live import LiveSource, pause
from appliance.errors import SourceError
from tests.camera.films import limits, picture_of
from tests.camera.sources.http_habits import PASSWORD, PICTURES, USER, Handler, cameras

SHOWN = ("plain", "length", "wrong-length", "boundary-after", "no-boundary", "image-jpg", "no-type", "line-feeds",
         "stray-bytes", "bare", "snapshot", "redirect")  # fmt: skip


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with cameras() as address:
        yield address


def pictures(source: str, count: int = 5) -> list[bytes]:
    camera = open_source(source)
    found: list[bytes] = []
    deadline_s = time.monotonic() + 20
    try:
        while len(found) < count:
            assert time.monotonic() < deadline_s, f"only {len(found)} pictures came"
            capture = camera.take(limits())
            found += [] if capture is None else [capture.picture]
    finally:
        camera.close()
    return found


def refusal(source: str) -> SourceError:
    camera = http_camera.HttpCamera(url.parse(source))
    with pytest.raises(SourceError) as caught:
        list(camera.open().frames(lambda: True))
    assert "\n" not in str(caught.value)
    return caught.value


def with_login(base: str, user: str = USER, password: str = PASSWORD) -> str:
    return base.replace("://", f"://{user}:{password}@")


@pytest.mark.parametrize("habit", SHOWN)
def test_whatever_a_browser_shows_arrives_byte_for_byte(base: str, habit: str) -> None:
    assert set(pictures(f"{base}/{habit}")) <= set(PICTURES)


def test_pictures_without_an_end_marker_are_told_apart_by_their_beginnings(base: str) -> None:
    for data in pictures(f"{base}/no-end-marker"):
        assert picture_of(data).size.width == 320


def test_a_single_pictures_address_is_asked_only_when_a_picture_is_wanted(base: str) -> None:
    camera = open_source(f"{base}/snapshot-length")
    assert camera.take(limits()) is not None
    time.sleep(0.5)
    assert Handler.shown["/snapshot-length"] == 1
    assert camera.take(limits()) is not None
    assert Handler.shown["/snapshot-length"] == 2
    camera.close()


@pytest.mark.parametrize("habit", ["basic", "digest", "old-digest"])
@pytest.mark.parametrize("quoted", [False, True])
def test_odd_passwords_are_taken_as_they_are_pasted_or_encoded(base: str, habit: str, quoted: bool) -> None:
    password = urllib.parse.quote(PASSWORD, safe="") if quoted else PASSWORD
    source = with_login(base, password=password) + f"/{habit}?channel=1"
    assert set(pictures(source, 3)) <= set(PICTURES)


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("nowhere", "source_unreadable", "HTTP status 404: there is no such address on the camera"),
        ("forbidden", "source_unauthorized", "HTTP status 403: this user may not view it"),
        ("basic", "source_unauthorized", "asks for a user and password: write http://user:password@"),
        ("page", "source_unreadable", "answers with text/html instead of pictures"),
        ("circle", "source_unreadable", "redirects in a circle"),
        ("away", "source_unreadable", "redirects to rtsp://"),
        ("empty", "source_unreadable", "sends no pictures"),
    ],
)
def test_what_shows_no_pictures_says_what_to_do(base: str, path: str, code: str, words: str) -> None:
    error = refusal(f"{base}/{path}")
    assert words in str(error)
    assert error.code == code


def test_a_wrong_password_is_rejected_and_not_shown(base: str) -> None:
    error = refusal(with_login(base, password="hunter2/@x") + "/basic")
    assert "rejects this user and password" in str(error)
    assert "hunter2" not in str(error)
    assert error.code == "source_unauthorized"


def test_nobody_there_and_no_http_there_are_told_apart() -> None:
    assert "Connection refused; check the address" in str(refusal("http://127.0.0.1:9/"))
    assert "the address is invalid" in str(refusal("http://127.0.0.1:port/"))

    def babble() -> None:
        connection, _ = server.accept()
        connection.recv(1000)
        connection.sendall(b"220 ready for your mail\r\n")
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=babble)
        thread.start()
        assert "does not speak HTTP" in str(refusal(f"http://127.0.0.1:{server.getsockname()[1]}/"))
        thread.join()


def test_a_camera_that_is_off_at_first_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """After a power cut the agent is often the first to be up."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    camera = http_camera.HttpCamera(url.parse(f"http://127.0.0.1:{port}/"))
    source = LiveSource(lambda _: camera, patient=True, reopen_after_s=0.05, patience_s=0.3)
    assert source.take(limits()) is None
    assert "Connection refused" in caplog.text
    assert "opening it again" in caplog.text
    source.close()


def test_a_camera_is_tried_ever_more_rarely_and_a_wrong_password_hardly_at_all() -> None:
    gone, wrong = SourceError("x", "source_unreadable"), SourceError("x", "source_unauthorized")
    assert [pause(count, gone, 2.0) for count in (0, 1, 2, 3, 10, 10**6)] == [2, 2, 4, 8, 60, 60]
    assert [pause(count, wrong, 2.0) for count in (1, 2, 10**6)] == [60, 120, 600]
    assert pause(3, None, 0.01) == 0.04


def test_digest_answers_as_the_standards_example() -> None:
    """RFC 2069's form of it, with the errata's response; and what cannot be answered is left alone."""
    login = Login("Mufasa", "CircleOfLife")
    assert login.header("GET", "/dir/index.html") is None
    assert login.learn(['Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="x"'])
    header = login.header("GET", "/dir/index.html")
    assert header is not None
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in header
    assert login.learn(['Basic realm="x"', 'Digest realm="x", nonce="1", qop="auth-int"'])
    assert str(login.header("GET", "/")).startswith("Basic ")
    for nothing in (["Bearer"], ["Digest"], ['Digest realm="x", nonce="1", algorithm=SHA-512-256'], [], ["Digest ,=,"]):
        assert not login.learn(nothing)
        assert login.header("GET", "/") is None
    assert not Login("", "").learn(['Basic realm="x"'])


def test_a_password_goes_to_its_own_host_only(base: str) -> None:
    """A redirect from 127.0.0.1 to localhost: the same machine, and another name."""
    heard: list[bytes] = []

    def redirect() -> None:
        for _ in range(2):
            connection, _ = server.accept()
            heard.append(connection.recv(1000))
            asked = b"Authorization: Basic" in heard[-1]
            target = base.replace("127.0.0.1", "localhost").encode() + b"/basic"
            connection.sendall(
                b"HTTP/1.0 302 Found\r\nLocation: " + target + b"\r\n\r\n" if asked
                else b'HTTP/1.0 401 No\r\nWWW-Authenticate: Basic realm="x"\r\n\r\n'
            )  # fmt: skip
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=redirect)
        thread.start()
        error = refusal(with_login(f"http://127.0.0.1:{server.getsockname()[1]}/"))
        thread.join()
    assert b"Authorization: Basic" in heard[-1]
    assert error.code == "source_unauthorized"
