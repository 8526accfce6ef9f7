"""Look at the running service from outside, as a camera and a technician would."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import statistics
import struct
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import socketio

from appliance.update.gate import Baseline, Observation, undisturbed_ms
from appliance.values import Size
from appliance.vision import scene
from appliance.vision.decode import encode_jpeg

_FAILURES = (OSError, http.client.HTTPException, ValueError, RecursionError)
_TIMEOUT_S = 20.0
_MOST_BYTES = 5_000_000
_PICTURE = Size(1280, 720)
_LEAST_ROWS = 6
_SEVERAL = 5
_GATEWAY = 0x2
"""The flag of a route through a gateway (RTF_GATEWAY in linux/route.h)."""
_COMPLETE = 0x2
"""The flag of a neighbour that has answered (ATF_COM in linux/if_arp.h)."""


class Observer:
    """Observes the service. `url`: its address now, which another start may change. `root`: of the machine's files."""

    def __init__(self, url: Callable[[], str], root: Path = Path("/")) -> None:
        self._url, self._root = url, root
        picture, _ = scene.draw(_PICTURE)
        self._jpeg, self._sent = encode_jpeg(picture, 90), 0

    def observe(self) -> Observation:
        """The device now. Never raises: what cannot be seen is absent."""
        report = self._report()
        ready = self._status("/health/ready") == 200
        seen, refused, answer_ms = asyncio.run(self._frame()) if ready else (None, False, None)
        return Observation(
            ready=ready,
            seen=seen,
            refused=refused,
            answer_ms=answer_ms,
            frames_ms=latest(self._last_hour().get("latency_p50_ms")) if ready else None,
            temp_c=_number(report.get("device"), "soc_temp_c"),
            critical=critical_codes(report),
            restarts=_restarts(),
            cameras=sending(report),
            gateway=gateway_answers(self._root),
        )

    def several(self) -> list[Observation]:
        return [self.observe() for _ in range(_SEVERAL)]

    def baseline(self, earlier: Sequence[Observation] = ()) -> Baseline:
        """What the release in use does now; `earlier`: observations from before the device unpacked the update."""
        all_seen = [*earlier, *self.several()]
        last = all_seen[-1]
        answers_ms = [one.answer_ms for one in all_seen if one.answer_ms is not None]
        hour = self._last_hour()
        return Baseline(
            ready=any(one.ready for one in all_seen),
            seen=last.seen,
            answer_ms=undisturbed_ms(answers_ms) if answers_ms else None,
            hour_ms=usual(hour.get("latency_p50_ms")),
            temp_c=max(known(hour.get("soc_temp_c")), default=last.temp_c),
            critical=last.critical,
            cameras=last.cameras,
            gateway=last.gateway,
        )

    def cooling(self) -> bool:
        """Whether the service runs slower than it could, because the device is hot."""
        return bool(_number(self._report().get("governor"), "cur_state"))

    def _last_hour(self) -> Mapping[str, Any]:
        """The columns of the history, one value for each ten seconds."""
        columns = self._json("/health/history?span=hour").get("columns")
        return columns if isinstance(columns, dict) else {}

    def _report(self) -> Mapping[str, Any]:
        return self._json("/health")

    def _json(self, path: str) -> Mapping[str, Any]:
        try:
            with urllib.request.urlopen(self._url() + path, timeout=_TIMEOUT_S) as answer:
                found = json.loads(answer.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                try:
                    found = json.loads(error.read(_MOST_BYTES))
                except _FAILURES:
                    return {}
        except _FAILURES:
            return {}
        return found if isinstance(found, dict) else {}

    def _status(self, path: str) -> int:
        try:
            with urllib.request.urlopen(self._url() + path, timeout=_TIMEOUT_S) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except _FAILURES:
            return 0

    def _picture(self) -> bytes:
        """The test picture with a comment of its own: an answer from the cache says nothing about the release."""
        self._sent += 1
        return commented(self._jpeg, f"{time.time_ns()} {self._sent}".encode())

    async def _frame(self) -> tuple[frozenset[str] | None, bool, float | None]:
        """The classes found in the test picture, whether frames are refused, and the time that the answer took."""
        try:
            async with (
                aiohttp.ClientSession() as session,  # the client leaves its own open when it cannot connect
                socketio.AsyncSimpleClient(reconnection=False, http_session=session) as client,
            ):
                await client.connect(self._url(), transports=["websocket"], wait_timeout=_TIMEOUT_S)
                sent_s = time.monotonic()
                await client.emit("process_frame", self._picture())
                while time.monotonic() < sent_s + _TIMEOUT_S:
                    event, *answer = await client.receive(timeout=_TIMEOUT_S)
                    if event == "detection_results":
                        names = frozenset(str(one["name"]) for one in answer[0]["detections"])
                        return names, False, 1000 * (time.monotonic() - sent_s)
                    if event == "detection_error":
                        return None, answer[0].get("code") == "unauthorized", None
        except (socketio.exceptions.SocketIOError, OSError, LookupError, TypeError, asyncio.TimeoutError):
            pass
        return None, False, None


def commented(jpeg: bytes, text: bytes) -> bytes:
    """A JPEG file with a comment after its first marker."""
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + jpeg[2:]


def critical_codes(report: Mapping[str, Any]) -> frozenset[str]:
    """The codes of the critical findings in a report."""
    found = report.get("findings")
    return frozenset(
        str(one.get("code"))
        for one in (found if isinstance(found, list) else ())
        if isinstance(one, dict) and one.get("severity") == "critical"
    )


def sending(report: Mapping[str, Any]) -> int:
    """How many known cameras send frames."""
    known = report.get("known_cameras")
    cameras = known.values() if isinstance(known, dict) else ()
    return sum(isinstance(one, dict) and one.get("presence") == "sending" for one in cameras)


def known(column: object) -> list[float]:
    """The known values of a column of the history."""
    values = column if isinstance(column, list) else []
    return [float(value) for value in values if isinstance(value, int | float)]


def usual(column: object) -> float | None:
    """The median of a column; None: it has less than a minute."""
    values = known(column)
    return statistics.median(values) if len(values) >= _LEAST_ROWS else None


def latest(column: object) -> float | None:
    """The value of the last ten seconds that are complete."""
    values = known(column[-1:] if isinstance(column, list) else None)
    return values[0] if values else None


def gateway_answers(root: Path) -> bool | None:
    """Whether the default gateway is among the neighbours that have answered; None: there is none over IPv4.

    Of several, the one that the kernel uses. IPv6 neighbours are in no file, so a device with IPv6 alone is not judged.
    """
    gateways: list[tuple[int, int, str, str]] = []
    for line in _lines(root / "proc/net/route"):
        interface, destination, gateway, flags, _, _, metric, mask, *_ = [*line.split(), *[""] * 8]
        if destination == mask == "00000000" and int(flags, 16) & _GATEWAY:
            address = socket.inet_ntoa(struct.pack("<L", int(gateway, 16)))
            gateways.append((int(metric), len(gateways), interface, address))
    if not gateways:
        return None
    *_, interface, address = min(gateways)
    neighbours = (line.split() for line in _lines(root / "proc/net/arp"))
    return any(
        (fields[0], fields[5]) == (address, interface) and int(fields[2], 16) & _COMPLETE
        for fields in neighbours
        if len(fields) > 5
    )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()[1:]
    except (OSError, ValueError):
        return []


def _restarts() -> int:
    """How often systemd has started the service again since it was started on purpose."""
    try:
        shown = subprocess.run(
            ["systemctl", "show", "appliance.service", "--property=NRestarts", "--value"],
            capture_output=True, text=True, timeout=_TIMEOUT_S,
        )  # fmt: skip
        return int(shown.stdout.strip() or 0)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return 0


def _number(group: object, key: str) -> float | None:
    value = group.get(key) if isinstance(group, dict) else None
    return float(value) if isinstance(value, int | float) else None
