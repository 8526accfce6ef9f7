"""HTTP cameras: every stream that a browser can show works, and everything else is a clear error."""

from __future__ import annotations

import socket
import subprocess
import sys
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
            assert time.monotonic() < deadline_s, f"only {len(found)} pictures arrived"
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
def test_pictures_arrive_unchanged(base: str, habit: str) -> None:
    assert set(pictures(f"{base}/{habit}")) <= set(PICTURES)


def test_pictures_without_an_end_marker_are_split_at_their_start_markers(base: str) -> None:
    for data in pictures(f"{base}/no-end-marker"):
        assert picture_of(data).size.width == 320


def test_a_snapshot_is_fetched_only_when_requested(base: str) -> None:
    camera = open_source(f"{base}/snapshot-length")
    assert camera.take(limits()) is not None
    time.sleep(0.5)  # longer than the interval between snapshots
    assert Handler.shown["/snapshot-length"] == 1
    assert camera.take(limits()) is not None
    assert Handler.shown["/snapshot-length"] == 2
    camera.close()


@pytest.mark.parametrize("habit", ["basic", "digest", "old-digest"])
@pytest.mark.parametrize("quoted", [False, True])
def test_unusual_passwords_work_raw_and_encoded(base: str, habit: str, quoted: bool) -> None:
    password = urllib.parse.quote(PASSWORD, safe="") if quoted else PASSWORD
    source = with_login(base, password=password) + f"/{habit}?channel=1"
    assert set(pictures(source, 3)) <= set(PICTURES)


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("nowhere", "source_unreadable", "HTTP status 404: the camera has no such URL"),
        ("forbidden", "source_unauthorized", "HTTP status 403: access denied"),
        ("basic", "source_unauthorized", "requires a user and password. Write http://user:password@"),
        ("page", "source_unreadable", "sends text/html instead of pictures"),
        ("circle", "source_unreadable", "too many redirects"),
        ("away", "source_unreadable", "redirects to rtsp://"),
        ("empty", "source_unreadable", "sends no pictures"),
    ],
)
def test_an_error_says_what_to_do(base: str, path: str, code: str, words: str) -> None:
    error = refusal(f"{base}/{path}")
    assert words in str(error)
    assert error.code == code


def test_a_wrong_password_is_an_error_that_hides_it(base: str) -> None:
    error = refusal(with_login(base, password="hunter2/@x") + "/basic")
    assert "wrong user or password" in str(error)
    assert "hunter2" not in str(error)
    assert error.code == "source_unauthorized"


def test_an_unreachable_server_and_a_server_without_http_have_different_errors() -> None:
    assert "Connection refused. Check the URL" in str(refusal("http://127.0.0.1:9/"))
    assert "invalid URL" in str(refusal("http://127.0.0.1:port/"))

    def babble() -> None:
        connection, _ = server.accept()
        connection.recv(1000)
        connection.sendall(b"220 ready for your mail\r\n")
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=babble)
        thread.start()
        assert "does not speak HTTP" in str(refusal(f"http://127.0.0.1:{server.getsockname()[1]}/"))
        thread.join(20)


def test_a_camera_that_starts_later_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """After a power cut the agent often starts first."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    camera = http_camera.HttpCamera(url.parse(f"http://127.0.0.1:{port}/"))
    source = LiveSource(lambda _: camera, patient=True, reopen_after_s=0.05, patience_s=0.3)
    assert source.take(limits()) is None
    assert "Connection refused" in caplog.text
    assert "reopening in" in caplog.text
    source.close()


def test_the_pause_grows_and_is_longer_after_a_wrong_password() -> None:
    gone, wrong = SourceError("x", "source_unreadable"), SourceError("x", "source_unauthorized")
    assert [pause(count, gone, 2.0) for count in (0, 1, 2, 3, 10, 10**6)] == [2, 2, 4, 8, 60, 60]
    assert [pause(count, wrong, 2.0) for count in (1, 2, 10**6)] == [60, 120, 600]
    assert pause(3, None, 0.01) == 0.04


def test_digest_matches_the_example_of_the_standard() -> None:
    """The RFC 2069 form with the response from the errata. Unsupported challenges are ignored."""
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
    several = (
        'Negotiate, Digest realm="x", nonce="1", algorithm=SHA-512-256, Digest realm="x", nonce="2" , Basic realm="x"'
    )
    assert login.learn([several])
    assert 'nonce="2"' in str(login.header("GET", "/"))


@pytest.mark.parametrize("text", [" ", "digest ", "digest a,", "a "])
def test_a_camera_cannot_hold_the_agent_with_its_challenge(text: str) -> None:
    """The search for its end took 1 s for 500 spaces, and eight times as long for twice as many."""
    code = "import sys; from appliance.camera.sources.http_auth import Login as L; L('a', 'b').learn(sys.argv[1:])"
    subprocess.run([sys.executable, "-c", code, f"Digest a{text * (8_000 // len(text))}x"], timeout=60, check=True)


def test_a_password_is_sent_to_its_own_host_only(base: str) -> None:
    """A redirect from 127.0.0.1 to localhost: the same machine with another name."""
    requests: list[bytes] = []

    def redirect() -> None:
        for _ in range(2):
            connection, _ = server.accept()
            requests.append(connection.recv(1000))
            authenticated = b"Authorization: Basic" in requests[-1]
            target = base.replace("127.0.0.1", "localhost").encode() + b"/basic"
            connection.sendall(
                b"HTTP/1.0 302 Found\r\nLocation: " + target + b"\r\n\r\n" if authenticated
                else b'HTTP/1.0 401 No\r\nWWW-Authenticate: Basic realm="x"\r\n\r\n'
            )  # fmt: skip
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=redirect)
        thread.start()
        error = refusal(with_login(f"http://127.0.0.1:{server.getsockname()[1]}/"))
        thread.join(20)
    assert b"Authorization: Basic" in requests[-1]
    assert error.code == "source_unauthorized"
