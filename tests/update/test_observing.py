"""What the watch over a release leaves behind."""

from __future__ import annotations

import contextlib
import socket
import threading

import aiohttp
import pytest

from appliance.update.observing import Observer
from tests.boot.ready_service import ready_service


def test_looking_at_a_service_that_answers_no_frames_leaves_no_session_open(
    made_sessions: list[aiohttp.ClientSession],
) -> None:
    """The watch looks every ten seconds, for up to two days."""
    with ready_service() as port:
        assert Observer(lambda: f"http://127.0.0.1:{port}").observe().seen is None
    assert made_sessions
    assert not [session for session in made_sessions if not session.closed]


@pytest.mark.parametrize(
    "answer",
    [
        b"nothing like HTTP\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{",
        b"HTTP/1.1 503 no\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,
    ],
)
def test_a_release_that_answers_nonsense_is_not_ready_and_does_not_end_the_watch(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        threading.Thread(target=_answer, args=(there, answer), daemon=True).start()
        url = f"http://127.0.0.1:{there.getsockname()[1]}"
        observed = Observer(lambda: url).observe()
        there.shutdown(socket.SHUT_RDWR)
    assert observed.seen is None


def _answer(there: socket.socket, answer: bytes) -> None:
    while True:
        try:
            connection, _ = there.accept()
        except OSError:
            return
        with contextlib.suppress(OSError), connection:  # it may hang up before it has read all
            connection.settimeout(2)
            connection.recv(10_000)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
