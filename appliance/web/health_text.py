"""The state of the device as plain text for a serial console: 80 columns, 20 lines or a few more.

It is made from the JSON of `/health`, so that the command line can show another device in the same way.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from appliance import durations
from appliance.health.finding import Severity
from appliance.health.words import counted

WIDTH = 80
_MOST_CAMERAS, _MOST_FINDINGS = 6, 4
_MOST_LINES_EACH = 2
_SLOW_S = 5.0
"""The service counts frames over ten seconds: a camera that is asked for fewer often seems to send none."""
_LABEL = 13
_STATUS = {"ok": "OK", "degraded": "DEGRADED", "critical": "CRITICAL"}
_MARKS = {Severity.CRITICAL.value: "!!", Severity.DEGRADED.value: "! ", Severity.INFO.value: "- "}


def of_payload(payload: Mapping[str, Any]) -> str:
    """Format a payload of `/health`. A service of another version, or one that hides details, may lack parts of it."""
    lines = [*_head(payload), *_findings(payload.get("findings", [])), *_machine(payload), *_cameras(payload)]
    return "\n".join(line[:WIDTH].rstrip() for line in lines) + "\n"


def _head(payload: Mapping[str, Any]) -> Iterator[str]:
    status = str(payload.get("status", "unknown"))
    when = str(payload.get("timestamp_iso", ""))[:19].replace("T", " ")
    version = f"appliance {payload['version']}   " if "version" in payload else ""
    yield f"{_STATUS.get(status, status)}   {version}{when} UTC"
    service = payload.get("service")
    if service:
        uptime, restarts = durations.in_words(service["uptime_s"]), service["restarts"]
        again = "" if restarts is None else f", restarted {counted(restarts, 'time', 'times')} since boot"
        yield _row("running for", uptime + again)


def _findings(findings: list[Mapping[str, Any]]) -> Iterator[str]:
    problems = [one for one in findings if one["severity"] != Severity.INFO.value]
    for one in problems[:_MOST_FINDINGS]:
        yield from _wrapped(f"{_MARKS.get(one['severity'], '  ')} ", f"{one['what']} ({one['code']})")
        yield from _wrapped("   ", f"-> {one['do']}")
    rest = len(findings) - min(len(problems), _MOST_FINDINGS)
    if rest:
        yield f"{_MARKS[Severity.INFO.value]} {counted(rest, 'more finding', 'more findings')} in /health"


def _machine(payload: Mapping[str, Any]) -> Iterator[str]:
    device, governor, engine = payload.get("device"), payload.get("governor"), payload.get("engine")
    if device:
        limit = _with_unit(device["trip_temp_c"], " °C", 0, before="; throttles at ")
        yield _row("temperature", f"{_with_unit(device['soc_temp_c'], ' °C', 1) or 'unknown'}{limit}")
        available, total = _gigabytes(device["memory_available_bytes"]), _gigabytes(device["memory_total_bytes"])
        yield _row("memory", f"{available} of {total} available; this service {_megabytes(device['resident_bytes'])}")
        cpu = _with_unit(device["cpu_percent"], " %", 0) or "unknown"
        yield _row("cpu, disk", f"{cpu}; {_gigabytes(device['disk_free_bytes'])} free")
        voltage = {True: "UNDER-VOLTAGE", False: "no under-voltage", None: "unknown"}
        yield _row("power", voltage[device["power"]["under_voltage"]])
    if governor:
        reason = governor["limits"]["reason"].replace("_", " ")
        level = f"{governor['cur_state']} of {governor['max_state']}"
        yield _row("throttle", f"level {level}, up to {governor['limits']['max_side']} px, reason: {reason}")
    if engine:
        speed = _with_unit(engine["infer_ms"], " ms", 0, before=", inference ")
        yield _row("model", f"{engine['model'] or 'NONE'} on {engine['device']}, {engine['precision']}{speed}")
        yield _row("self-test", engine["canary"]["message"])
    frames = payload.get("frames")
    if frames:
        skipped = sum(frames["skipped"].values())
        yield _row("frames", f"{frames['answered']} answered, {skipped} skipped, {frames['failed']} failed")


def _cameras(payload: Mapping[str, Any]) -> Iterator[str]:
    known, active = payload.get("known_cameras"), payload.get("cameras", {})
    if known is None:
        return
    order = {"silent": 0, "sending": 1, "quiet": 2}
    names = sorted(known, key=lambda name: (order.get(known[name]["presence"], 3), name))
    yield _row("cameras", f"{len(active)} connected of {len(known)} known")
    for name in names[:_MOST_CAMERAS]:
        camera, stats = known[name], active.get(name)
        if camera["presence"] != "sending" or stats is None:
            silent = durations.in_words(camera["silent_s"])
            text = f"SILENT for {silent}" if camera["presence"] == "silent" else f"last frame {silent} ago"
        else:
            latency = _with_unit(stats["latency_ms"], " ms", 0) or "no result yet"
            text = f"{_rate(stats)}, {latency}"
        yield f"  {camera.get('label') or name:<28.28} {text}"
    if len(names) > _MOST_CAMERAS:
        yield f"  {len(names) - _MOST_CAMERAS} more: appliance cameras list"


def _rate(stats: Mapping[str, Any]) -> str:
    """Frames per second; of a camera that is asked for fewer than one in five seconds, the interval."""
    interval_s = stats["limits"]["min_interval"]
    slow = stats["answered_fps"] < 1 / _SLOW_S and interval_s >= _SLOW_S
    return f"one frame every {interval_s:.0f} s" if slow else f"{stats['answered_fps']:.1f} fps"


def _row(label: str, text: str) -> str:
    return f"{label:<{_LABEL}}{text}"


def _wrapped(first: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent="   ", max_lines=_MOST_LINES_EACH, placeholder=" …"
    )  # fmt: skip


def _with_unit(value: float | None, unit: str, digits: int, before: str = "") -> str:
    return "" if value is None else f"{before}{value:.{digits}f}{unit}"


def _gigabytes(count: int | None) -> str:
    return "unknown" if count is None else f"{count / 1e9:.1f} GB"


def _megabytes(count: int | None) -> str:
    return "unknown" if count is None else f"{count / 1e6:.0f} MB"
