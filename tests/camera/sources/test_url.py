"""Camera URLs: every form of password is parsed and hidden."""

from __future__ import annotations

import threading
import time
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.camera.sources import open_source, pyav, url
from appliance.errors import SourceError
from appliance.redaction import redact
from tests.camera.films import limits


@pytest.mark.parametrize(
    ("source", "user", "password", "host", "path"),
    [
        ("rtsp://cam/stream", "", "", "cam", "/stream"),
        ("rtsp://admin:pw@cam/stream", "admin", "pw", "cam", "/stream"),
        ("RTSP://admin:pw@CAM/stream", "admin", "pw", "CAM", "/stream"),
        ("rtsp://admin:p@ss@cam/stream", "admin", "p@ss", "cam", "/stream"),
        ("rtsp://admin:pa/ss@cam:554/stream", "admin", "pa/ss", "cam:554", "/stream"),
        ("http://admin:p@ss/w:rd#1@192.168.1.20/video", "admin", "p@ss/w:rd#1", "192.168.1.20", "/video"),
        ("http://admin:p%40ss%2Fw@cam.local/video?x=a@b", "admin", "p@ss/w", "cam.local", "/video?x=a@b"),
        ("rtsp://admin:a?b&c@[fe80::1%25eth0]:554/1", "admin", "a?b&c", "[fe80::1%25eth0]:554", "/1"),
        ("rtsp://admin@cam/stream", "admin", "", "cam", "/stream"),
        ("http://cam:8080/photo@2x.jpg", "", "", "cam:8080", "/photo@2x.jpg"),
        ("http://192.168.1.20/snap?to=me:x@example.org", "", "", "192.168.1.20", "/snap?to=me:x@example.org"),
    ],
)
def test_a_url_is_parsed(source: str, user: str, password: str, host: str, path: str) -> None:
    found = url.parse(source)
    assert (found.user, found.password, found.host, found.path) == (user, password, host, path)


SECRET = "hunter2"
FORMS = [
    f"rtsp://admin:{SECRET}@127.0.0.1:9/",
    f"RTSP://admin:{SECRET}@127.0.0.1:9/",
    f"http://admin:x@{SECRET}@127.0.0.1:9/",
    f"rtsp://admin:{SECRET}/x@127.0.0.1:9/",
    f"rtsp://admin:x#{SECRET}@127.0.0.1:9/",
    f"rtsp://admin:x {SECRET}@127.0.0.1:9/",
    f"rtsp://127.0.0.1:9/user=admin&password={SECRET}&channel=1",
    f"rtsp://127.0.0.1:9/user=admin_password={SECRET}_channel=1",
    f"http://127.0.0.1:9/video?user=admin&password={SECRET}",
    f"http://127.0.0.1:9/video?loginuse=admin&loginpas={SECRET}",
    f"http://127.0.0.1:9/video?USR=admin&PWD={SECRET}",
    f"http://127.0.0.1:9/video?u=admin&p={SECRET}",
    f"http://127.0.0.1:9/video?access_token={SECRET}#x",
    f"rtmp://127.0.0.1:9/live?auth={SECRET}",
    f"rtsp:/admin:{SECRET}@127.0.0.1:9/",
    f"admin:{SECRET}@127.0.0.1:9/",
]


@pytest.mark.parametrize("source", FORMS)
def test_no_form_of_a_password_is_shown(source: str, caplog: pytest.LogCaptureFixture) -> None:
    texts = redact(source)
    try:
        camera = open_source(source)
    except SourceError as error:
        texts += str(error)
    else:
        thread = threading.Thread(target=camera.take, args=(limits(),))
        thread.start()
        deadline_s = time.monotonic() + 20
        while "reopening in" not in caplog.text:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        camera.close()
        thread.join(20)
    if url.is_url(source):
        texts += url.parse(source).shown
        with pytest.raises(SourceError) as caught:
            pyav.network(source).open()
        texts += str(caught.value)
    assert SECRET not in texts + caplog.text
    assert "***" in texts
    assert "127.0.0.1:9" in texts or "user=" in source


def test_secrets_are_removed_from_other_texts() -> None:
    address = url.parse("rtsp://admin:p@ss/word@cam/stream?token=abc")
    for text in (address.written, address.encoded, "wrong password 'p@ss/word'", "p%40ss%2Fword"):
        hidden = address.hide(f"cannot open {text}: no")
        assert "***" in hidden
        assert "word@" not in hidden
        assert "abc" not in hidden


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsps://10.0.0.1:7441/Ab3dEf6hIj9lMn2p?enableSrtp", "rtsps://10.0.0.1:7441/***?enableSrtp"),
        ("rtsp://10.0.0.5/h264Preview_01_main", "rtsp://10.0.0.5/h264Preview_01_main"),
        ("rtsp://10.0.0.5/Streaming/Channels/101", "rtsp://10.0.0.5/Streaming/Channels/101"),
        ("/videos/20240101T120000Z0000000", "/videos/20240101T120000Z0000000"),
    ],
)
def test_a_key_in_the_path_is_hidden_and_names_are_not(source: str, shown: str) -> None:
    assert redact(source) == shown


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=8, max_size=12))
def test_any_password_is_parsed_and_hidden(password: str) -> None:
    quoted = url.parse(f"rtsp://admin:{urllib.parse.quote(password, safe='')}@192.168.1.20:554/stream")
    assert quoted.password == password
    assert url.parse(quoted.encoded).password == password
    assert redact(f"rtsp://admin:{password}@192.168.1.20:554/stream") == "rtsp://admin:***@192.168.1.20:554/stream"


@given(st.text(max_size=60))
def test_any_text_can_be_parsed(text: str) -> None:
    for source in (text, "rtsp://" + text, "http://" + text):
        found = url.parse(source)
        assert isinstance(found.encoded, str)
        found.hide(text)
