"""Post events to one receiver over HTTP, in order, one at a time, until it accepts them.

Rules of this file:
- `receive` returns at once; the queue is bounded and keeps the newest events.
- A receiver that is away, too slow or broken (5xx, 408, 425, 429) gets the event again, after pauses that double. One
  that rejects it (another 4xx, a redirect) does not: a repetition would change nothing. Except soon after the start: a
  signature has a date, which is rejected until a board without a battery has asked a time server.
- An event that is repeated has the same `webhook-id`, so that the receiver can recognise it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import aiohttp

from appliance import __version__
from appliance.events.object_event import ObjectEvent, payload_of
from appliance.events.outbox import EventOutbox
from appliance.health.words import counted
from appliance.links import signature
from appliance.links.reasons import LinkProblem, of_error
from appliance.ports import Clock
from appliance.redaction import redact, secrets_of_origin

log = logging.getLogger(__name__)

_LONGEST_PAUSE_S = 60.0
_CLOCK_SET_WITHIN_S = 600.0
"""Of the start; a site without a time server has no later one."""
_MOST_SHOWN = 200
_MOST_SEARCHED = 4000
"""Characters of a text that are searched for secrets: one of at most 2000 that begins in the shown part ends there."""
_AGAIN = (408, 425, 429)
"""Besides 5xx: statuses after which a repetition can succeed."""


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """The settings of one receiver. None: all cameras, all classes."""

    name: str
    url: str
    secret: str = ""
    ca_file: str = ""
    types: frozenset[str] = frozenset({"start", "end"})
    cameras: frozenset[str] | None = None
    classes: frozenset[str] | None = None
    timeout_s: float = 10.0
    give_up_s: float = 3600.0
    queue: int = 1000


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why an event was not accepted. `after_s`: the pause that the receiver asks for."""

    why: LinkProblem
    again: bool
    after_s: float = 0.0


class Webhook:
    """One receiver. `receive` takes events at any time; `run` posts them until cancelled."""

    def __init__(
        self,
        options: WebhookOptions,
        device_id: str,
        *,
        clock: Clock,
        wall_clock: Clock,
        clock_is_set: Callable[[], bool] = lambda: True,
        first_pause_s: float = 1.0,
    ) -> None:
        """`clock_is_set`: whether the wall clock is right, as far as is known."""
        self._options, self._device_id = options, device_id
        self._started_s, self._clock_is_set = clock(), clock_is_set
        self._clock, self._wall_clock, self._first_pause_s = clock, wall_clock, first_pause_s
        self._events = EventOutbox(options.queue)
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._trust: ssl.SSLContext | None = None
        """What `ca_file` holds; None: it is to be read."""
        self.problem: LinkProblem | None = None
        """Why the receiver has not accepted the latest event; None: it has."""
        self.sent, self.given_up = 0, 0
        self._reported = 0
        """How many of the dropped events the log has reported."""

    @property
    def dropped(self) -> int:
        """Events that the receiver will never get."""
        return self._events.dropped + self.given_up

    def receive(self, event: ObjectEvent) -> None:
        """Take an event if the receiver wants it. Returns at once."""
        options = self._options
        if (
            event.kind in options.types
            and (options.cameras is None or event.camera in options.cameras)
            and (options.classes is None or event.name in options.classes)
        ):
            self._idle.clear()
            self._events.put(event)
            self._wake.set()

    async def run(self) -> None:
        """Post events, until cancelled."""
        timeout = aiohttp.ClientTimeout(total=self._options.timeout_s)
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector, trust_env=False) as session:
            while True:
                self._wake.clear()
                event = self._events.take()
                if event is not None:
                    await self._deliver(session, event)
                    continue
                self._idle.set()
                await self._wake.wait()

    async def finish(self, within_s: float) -> None:
        """Wait until all events have been posted, at most this long."""
        try:
            await asyncio.wait_for(self._idle.wait(), within_s)
        except asyncio.TimeoutError:
            log.warning("webhook %s: stopping with events that were not accepted", self._options.name)

    async def _deliver(self, session: aiohttp.ClientSession, event: ObjectEvent) -> None:
        """Post an event until the receiver accepts it, or a repetition is useless."""
        body = json.dumps({**payload_of(event), "device": self._device_id}, ensure_ascii=False).encode()
        begun_s, pause_s = self._clock(), self._first_pause_s
        while (failure := await self._post(session, event.cursor, body)) is not None:
            self._failed(failure)
            self._trust = None  # the file may have been renewed
            again = failure.again or self._dated_wrongly(failure)
            if not again or self._clock() - begun_s >= self._options.give_up_s:
                self.given_up += 1
                return
            await asyncio.sleep(max(pause_s, min(failure.after_s, _LONGEST_PAUSE_S)))
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
        self.sent += 1
        if self.problem is not None:
            lost, self._reported = self.dropped - self._reported, self.dropped
            log.warning(
                "webhook %s: the receiver accepts events again%s", self._options.name,
                f"; {counted(lost, 'event is', 'events are')} lost" if lost else "",
            )  # fmt: skip
        self.problem = None

    async def _post(self, session: aiohttp.ClientSession, message_id: str, body: bytes) -> _Failure | None:
        """Post once; None: accepted."""
        fields = {"Content-Type": "application/json", "User-Agent": f"edge-detection-appliance/{__version__}"}
        if self._options.secret:
            fields |= signature.headers(self._options.secret, message_id, int(self._wall_clock()), body)
        else:
            fields["webhook-id"] = message_id
        try:
            if self._options.ca_file and self._trust is None:
                loop = asyncio.get_running_loop()
                self._trust = await loop.run_in_executor(None, _trusting, self._options.ca_file)
            async with session.post(
                self._options.url, data=body, headers=fields, allow_redirects=False, ssl=self._trust or True
            ) as answer:
                return _judged(answer.status, answer.headers)
        except asyncio.TimeoutError:
            return _Failure(LinkProblem("link_no_answer", f"{self._options.timeout_s:g} s"), again=True)
        except aiohttp.ServerDisconnectedError:
            return _Failure(LinkProblem("link_closed"), again=True)
        except (aiohttp.ClientError, OSError, UnicodeError) as error:  # of `ca_file`; of a name that DNS cannot have
            problem = of_error(error)
            return _Failure(replace(problem, detail=self._shown(problem.detail)), again=True)

    def _dated_wrongly(self, failure: _Failure) -> bool:
        """Whether the receiver may have rejected nothing but the date of the signature."""
        early = self._clock() - self._started_s < _CLOCK_SET_WITHIN_S
        signed = self._options.secret != "" and failure.why.code == "webhook_status"
        return early and signed and not self._clock_is_set()

    def _shown(self, text: str) -> str:
        """The start of a text, for example of an exception, on one line and without the receiver's path, which may be
        its only secret.
        """
        text = text[:_MOST_SEARCHED]
        for secret in secrets_of_origin(self._options.url):
            text = text.replace(secret, "***")
        return " ".join(redact(text).split())[:_MOST_SHOWN]

    def _failed(self, failure: _Failure) -> None:
        if self.problem is None:
            log.warning(
                "webhook %s: an event was not accepted: %s", self._options.name, failure.why,
                extra={"kind": "webhook", "reason": str(failure.why)},
            )  # fmt: skip
        self.problem = failure.why


def _judged(status: int, fields: Mapping[str, str]) -> _Failure | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return _Failure(LinkProblem("webhook_redirects", f"HTTP {status}"), again=False)
    again = status >= 500 or status in _AGAIN
    return _Failure(LinkProblem("webhook_status", f"HTTP {status}"), again, _seconds(fields.get("Retry-After", "")))


def _seconds(text: str) -> float:
    """A number of seconds in a header; 0 for a date, or nothing."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def _trusting(ca_file: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)
