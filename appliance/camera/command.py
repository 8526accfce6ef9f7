"""`appliance camera`: builds the agent and what hears of its answers, runs them, and stops them together."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio

from appliance.camera.agent import Agent, Find, FrameResult
from appliance.camera.finder import Finder
from appliance.camera.saved_pictures import SavedPictures
from appliance.camera.sources import open_source
from appliance.camera.trigger import Trigger
from appliance.device import systemd
from appliance.errors import ApplianceError, ConfigError
from appliance.ports import ReportLine
from appliance.redaction import redact

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """What the agent is to do."""

    source: str
    name: str
    rtsp_transport: str = "auto"
    url: str = ""
    """Of the box; empty: find it by multicast DNS."""
    token: str = ""
    token_file: str = ""
    """Read at each connection, and before `token`."""
    save_dir: str = ""
    save_max_bytes: int = 1_000_000_000
    on: tuple[str, ...] = ()
    """Classes that run `command`."""
    command: tuple[str, ...] = ()
    command_interval_s: float = 10.0
    as_json: bool = False
    quiet: bool = False


async def run(options: Options, report: ReportLine) -> None:
    """Push until SIGTERM or SIGINT. Raises SourceError, and ConfigError for options that cannot be.

    `report` takes each line for standard output.
    """
    token = functools.partial(_token, options)
    token()
    find = _at(options.url) if options.url else Finder()
    album = SavedPictures(Path(options.save_dir), max_bytes=options.save_max_bytes) if options.save_dir else None
    trigger = None
    if options.on:
        trigger = Trigger(options.on, options.command, every_s=options.command_interval_s)
    source = open_source(options.source, rtsp_transport=options.rtsp_transport)
    pictures: asyncio.Queue[FrameResult] = asyncio.Queue(1)

    def seen(sighting: FrameResult) -> None:
        if not options.quiet:
            report(_as_json(sighting) if options.as_json else one_line(sighting))
        if album is not None and sighting.names and not pictures.full():
            pictures.put_nowait(sighting)
        if trigger is not None:
            trigger.offer(sighting.names, _as_json(sighting).encode())

    notifier = systemd.notifier()
    agent = Agent(source, find=find, name=options.name, token=token, on_result=seen, notifier=notifier)
    failure: ApplianceError | None = None
    async with anyio.create_task_group() as group:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, group.cancel_scope.cancel)
        group.start_soon(agent.beat, name="beat")
        if album is not None:
            group.start_soon(_keep, album, pictures, name="album")
        if trigger is not None:
            group.start_soon(trigger.run, name="trigger")
        try:
            await agent.run()
        except ApplianceError as error:
            failure = error
        group.cancel_scope.cancel()
    notifier.notify(systemd.STOPPING)
    if failure is not None:
        raise failure


def one_line(sighting: FrameResult) -> str:
    """An answer for a person to read."""
    payload, timing = sighting.payload, sighting.payload["timing"]
    found = ", ".join(f"{one['name']} {one['confidence']:.0%}" for one in payload["detections"]) or "nothing"
    return (
        f"frame {payload['frame_id']}: {found}  ({sighting.latency_ms:.0f} ms from shutter to answer; "
        f"the box {timing['total_ms']:.0f}, inference {timing['infer_ms']:.0f})"
    )


def _as_json(sighting: FrameResult) -> str:
    return json.dumps({**sighting.payload, "latency_ms": round(sighting.latency_ms, 1)})


async def _keep(album: SavedPictures, pictures: asyncio.Queue[FrameResult]) -> None:
    """Write pictures one after another, beside the event loop; what comes faster than the disk is not kept."""
    while True:
        sighting = await pictures.get()
        try:
            await anyio.to_thread.run_sync(album.keep, sighting.picture, sighting.names)
        except OSError as error:
            log.warning("the picture cannot be kept: %s", error.strerror, extra={"kind": "album"})


def _at(url: str) -> Find:
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"--to {redact(url)}: write the box's address as http://box:8080")

    async def find() -> str:
        return url

    return find


def spelled_out(text: str, option: str, environ: Mapping[str, str] = os.environ) -> str:
    """An address as it is, or from where its password is not in the list of processes: `env:NAME`, `@FILE`.

    Raises ConfigError.
    """
    if text.startswith("env:"):
        found = environ.get(text[4:], "").strip()
        if not found:
            raise ConfigError(f"{option} {text}: the environment has no variable '{text[4:]}', or it is empty")
        return found
    if text.startswith("@"):
        try:
            return Path(text[1:]).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise ConfigError(f"{option} {text}: the file cannot be read: {reason}") from None
    return text


def _token(options: Options) -> str:
    if not options.token_file:
        return options.token
    try:
        return Path(options.token_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigError(f"{options.token_file}: the camera's token cannot be read: {reason}") from None
