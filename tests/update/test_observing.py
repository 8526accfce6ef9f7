"""What the watch over a release leaves behind."""

from __future__ import annotations

import gc

import aiohttp

from appliance.update.observing import Observer
from tests.boot.ready_service import ready_service


def test_looking_at_a_service_that_answers_no_frames_leaves_no_session_open() -> None:
    """The watch looks every ten seconds, for up to two days."""
    with ready_service() as port:
        assert Observer(lambda: f"http://127.0.0.1:{port}").observe().seen is None
    assert not [one for one in gc.get_objects() if isinstance(one, aiohttp.ClientSession) and not one.closed]
