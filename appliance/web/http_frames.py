"""Frames that arrive over HTTP, one in each request: read the body, occupy a slot, wait for the outcome.

Each request occupies one of a few slots. When all are occupied, a request gets 503 with Retry-After at once: HTTP
clients handle a quick refusal better than a slow response. All requests of a client count as one camera, see
`http_cameras.py`; each slot has a mailbox, so that none replaces another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

from appliance.camera_names import HTTP_PREFIX
from appliance.errors import ApplianceError, BadFrame, Refused
from appliance.flow.detector import Detector
from appliance.values import BIG_BYTES, Detected, Failed, Frame, Skipped
from appliance.web.frame_parser import FrameParser
from appliance.web.http_cameras import HttpCameras
from appliance.web.identify import STATUS
from appliance.web.respond import Respond

log = logging.getLogger(__name__)

_SLOTS = 8
_STATUS = {
    **STATUS,
    "overloaded": 503,
    "frame_too_large": 413,
    "model_not_here": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "name_taken": 409,
    "too_many_cameras": 429,
}
_FAILED = {"engine_failed", "internal_error"}
_UNAVAILABLE = {
    "model_missing",
    "model_corrupt",
    "model_unsupported",
    "engine_device_missing",
    "safe_mode",
    "shutting_down",
}


class NoResult(ApplianceError):
    """A frame without a result: the code is that of its `detection_error`, overloaded or model_not_here."""

    def __init__(self, message: str, code: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code, self.retry_after_s = code, retry_after_s


@dataclass(slots=True)
class HttpFrames:
    """The way of all HTTP requests that carry a frame."""

    detector: Detector
    parser: FrameParser
    respond: Respond
    cameras: HttpCameras
    _free: deque[int] = field(default_factory=lambda: deque(range(1, _SLOTS + 1)))
    """The free slots, the one that has been free the longest first."""

    def check_slots(self) -> None:
        """Refuse before the body arrives. A slot is occupied only after that, or stalled uploads would occupy all."""
        if not self._free:
            raise Refused(f"{_SLOTS} requests are in progress; try again in a moment", "overloaded")

    async def body(self, request: web.Request, max_bytes: int) -> bytes:
        """The whole body. Raises BadFrame with frame_too_large or frame_type."""
        chunks: list[bytes] = []
        size = 0
        try:
            if (request.content_length or 0) <= max_bytes:
                async for chunk in request.content.iter_any():
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > max_bytes:
                        break
                else:
                    if size <= BIG_BYTES:
                        return b"".join(chunks)
                    # Copying megabytes takes milliseconds.
                    return await asyncio.get_running_loop().run_in_executor(None, b"".join, list(chunks))
        except (ValueError, BadHttpMessage, web.RequestPayloadError, ConnectionError) as error:
            raise BadFrame(f"cannot read the request body: {error}", "frame_type") from None
        finally:
            chunks.clear()  # aiohttp keeps the error, and through its traceback this frame, until garbage collection
        raise BadFrame(
            f"body too large: more than {max_bytes} bytes; send a picture of at most {self.parser.max_frame_bytes} "
            "bytes (server.max_frame_bytes)",
            "frame_too_large",
        )

    async def detect(self, payload: object, camera: str) -> tuple[Frame, Detected]:
        """The frame of a `process_frame` payload and its result. Raises NoResult, BadFrame or Refused."""

        async def unpacked() -> object:
            return payload

        return await self.ask(unpacked, camera)

    async def ask(self, unpack: Callable[[], Awaitable[object]], camera: str) -> tuple[Frame, Detected]:
        """Like `detect`. `unpack` returns the payload; a frame that comes too early is refused before that."""
        with self.slot() as slot:

            async def read() -> Frame:
                payload, sender = await unpack(), f"{HTTP_PREFIX}{slot}"
                return replace(await self.parser.parse(payload, camera=camera, sender=sender, frame_id=0), lane=slot)

            frame = await self.detector.admission.receive(camera, read)
            if not isinstance(frame, Frame):
                raise _no_result(frame)
            outcome = await self.detector.ask(frame, admitted=True)
        if not isinstance(outcome, Detected):
            raise _no_result(outcome)
        return frame, outcome

    @contextlib.contextmanager
    def slot(self) -> Iterator[int]:
        """Occupy a slot. Raises Refused if there is none."""
        self.check_slots()
        slot = self._free.popleft()
        try:
            yield slot
        finally:
            self._free.append(slot)

    async def guarded(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.Response]]
    ) -> web.Response:
        """The handler's response, or the one for its error."""
        try:
            return await handler(request)
        except NoResult as error:
            return self.refuse(error.code, str(error), error.retry_after_s)
        except ApplianceError as error:
            fields = {"code": error.code, "reason": str(error)}
            log.warning("refused HTTP request: %s", error, extra={"kind": "bad_frame", **fields})
            return self.refuse(error.code, str(error))
        except ConnectionError:
            raise  # the client has disconnected
        except Exception:
            log.exception("HTTP request failed", extra={"kind": "handler"})
            return self.refuse("internal_error", "internal error while processing this picture; see the device's log")

    def refuse(self, code: str, message: str, retry_after_s: float | None = None) -> web.Response:
        """The response of all these routes to a request that cannot be answered."""
        status = _STATUS.get(code) or (503 if code in _UNAVAILABLE else 500 if code in _FAILED else 400)
        response = self.respond({"success": False, "error": message, "code": code, "duration": 0}, status)
        if status == 413:
            response.force_close()  # the rest of the body is not read
        if status == 503:
            response.headers["Retry-After"] = str(max(1, math.ceil(retry_after_s or 1)))
        return response


def _no_result(outcome: Failed | Skipped) -> NoResult:
    if isinstance(outcome, Failed):
        return NoResult(outcome.message, outcome.code)
    return NoResult(f"device busy ({outcome.reason.value}); try again", "overloaded", outcome.retry_after_s)
