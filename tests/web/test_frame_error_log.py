"""An invalid frame is one log line, with the fields to filter by in the journal."""

from __future__ import annotations

import logging

import aiohttp
import pytest

from tests.conftest import Serve
from tests.web.camera import camera


def fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: getattr(record, name, None) for name in ("camera", "frame_id", "code")}


@pytest.mark.parametrize(
    ("cut", "code"), [(20, "image_corrupt"), (4000, "image_corrupt")], ids=["seen in its header", "seen when decoded"]
)
async def test_an_invalid_frame_over_socket_io_is_logged(
    serve: Serve, scene_jpeg: bytes, caplog: pytest.LogCaptureFixture, cut: int, code: str
) -> None:
    async with serve() as running, camera(running.url, name="gate") as gate:
        await gate.push_blind({"image": scene_jpeg[:cut], "frame_id": 7})
        error = await gate.first("detection_error")
        (record,) = [record for record in caplog.records if getattr(record, "kind", "") == "bad_frame"]
        assert record.levelno == logging.WARNING
        assert fields(record) == {"camera": "gate", "frame_id": 7, "code": code}
        assert getattr(record, "reason", "") == error["error"]
        assert error["error"] in record.getMessage()


async def test_an_invalid_frame_over_http_is_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async with serve() as running, aiohttp.ClientSession() as client:
        async with client.post(f"{running.url}/v1/vision/detection", data=b"no picture") as answer:
            assert answer.status == 400
        (record,) = [record for record in caplog.records if getattr(record, "kind", "") == "bad_frame"]
        assert record.levelno == logging.WARNING
        assert fields(record) == {"camera": None, "frame_id": None, "code": "image_unsupported"}
