"""`appliance camera`: build the agent and the receivers of its results, run them, and stop them together."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anyio

from appliance import camera_names
from appliance.camera.agent import Agent, Find, FrameResult
from appliance.camera.finder import Finder
from appliance.camera.own_token import own_token
from appliance.camera.saved_pictures import SavedPictures
from appliance.camera.sources import open_source
from appliance.camera.trigger import Trigger
from appliance.device import listening_address, systemd
from appliance.errors import ApplianceError, ConfigError
from appliance.ports import ReportLine
from appliance.redaction import redact
from appliance.tls import pin

log = logging.getLogger(__name__)

THIS_DEVICE = "this-device"
"""In place of a URL: the service on this device, at whatever port it listens."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the agent."""

    source: str
    name: str
    rtsp_transport: str = "auto"
    url: str = ""
    """URL of the device, or `this-device`. Empty: find it by multicast DNS."""
    ca_file: str = ""
    """Certificate authority of the device's certificate. Empty: those of the system."""
    token: str = ""
    token_file: str = ""
    """Read for each connection; takes precedence over `token`."""
    state_dir: str = ""
    """Where a camera without a token keeps the one that it makes for itself. Empty: nowhere."""
    save_dir: str = ""
    save_max_bytes: int = 1_000_000_000
    on: tuple[str, ...] = ()
    """Classes that trigger `command`."""
    command: tuple[str, ...] = ()
    command_interval_s: float = 10.0
    as_json: bool = False
    quiet: bool = False


async def run(options: Options, report: ReportLine) -> None:
    """Push until SIGTERM or SIGINT. Raises SourceError, ConfigError for bad options, and OSError of `report`.

    `report` takes each line for standard output.
    """
    name = camera_names.normal(options.name)
    if name is None:
        raise ConfigError(f"{options.name!r} is not a valid camera name: {camera_names.RULE}. Set it with --name")
    token, pairs = _credential(options)
    token()
    pin.verification(None, options.ca_file)
    find = _at(options.url) if options.url else Finder()
    album = SavedPictures(Path(options.save_dir), max_bytes=options.save_max_bytes) if options.save_dir else None
    trigger = None
    if options.on:
        trigger = Trigger(options.on, options.command, every_s=options.command_interval_s)
    source = open_source(options.source, rtsp_transport=options.rtsp_transport)
    pictures: asyncio.Queue[FrameResult] = asyncio.Queue(1)

    def on_result(result: FrameResult) -> None:
        if not options.quiet:
            report(_as_json(result) if options.as_json else one_line(result))
        if album is not None and result.names and not pictures.full():
            pictures.put_nowait(result)
        if trigger is not None:
            trigger.offer(result.names, _as_json(result).encode())

    notifier = systemd.notifier()
    ca = options.ca_file
    agent = Agent(
        source,
        find=find,
        name=name,
        token=token,
        pairs=pairs,
        ca_file=ca,
        classes=options.on,
        on_result=on_result,
        notifier=notifier,
    )
    failure: ApplianceError | OSError | None = None
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
        except (ApplianceError, OSError) as error:  # of `report`: nobody reads the results any more
            failure = error
        group.cancel_scope.cancel()
    notifier.notify(systemd.STOPPING)
    if failure is not None:
        raise failure


def one_line(result: FrameResult) -> str:
    """Format a result for the terminal."""
    payload, timing = result.payload, result.payload["timing"]
    detections = ", ".join(f"{one['name']} {one['confidence']:.0%}" for one in payload["detections"]) or "no detections"
    return (
        f"frame {payload['frame_id']}: {detections}  ({result.latency_ms:.0f} ms from capture to result; "
        f"device {timing['total_ms']:.0f}, inference {timing['infer_ms']:.0f})"
    )


def _as_json(result: FrameResult) -> str:
    return json.dumps({**result.payload, "latency_ms": round(result.latency_ms, 1)})


async def _keep(album: SavedPictures, pictures: asyncio.Queue[FrameResult]) -> None:
    """Write pictures one at a time in a thread. Pictures that arrive while the disk is busy are dropped."""
    while True:
        result = await pictures.get()
        try:
            await anyio.to_thread.run_sync(album.keep, result.picture, result.names)
        except OSError as error:
            log.warning("picture not saved: %s", error.strerror, extra={"kind": "album"})


def _at(url: str) -> Find:
    if url == THIS_DEVICE:
        return _at_this_device
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"--to {redact(url)}: invalid URL. Write it as https://device:8080, or this-device")
    try:
        pin.split_pin(url)
    except ConfigError as error:
        raise ConfigError(f"--to {redact(url)}: {error}") from None

    async def find() -> str:
        return url

    return find


async def _at_this_device() -> str:
    return await anyio.to_thread.run_sync(listening_address.local_url)


def spelled_out(text: str, option: str) -> str:
    """Resolve `env:NAME` and `@FILE`, which keep passwords out of the process list; return other addresses as they are.

    Raises ConfigError.
    """
    if text.startswith("env:"):
        value = os.environ.get(text[4:], "").strip()
        if not value:
            raise ConfigError(f"{option} {text}: environment variable '{text[4:]}' is unset or empty")
        return value
    if text.startswith("@"):
        try:
            return Path(text[1:]).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise ConfigError(f"{option} {text}: cannot read the file: {reason}") from None
    return text


def _credential(options: Options) -> tuple[Callable[[], str], bool]:
    """The camera's token, and whether it made that itself and asks for approval."""
    if options.token or options.token_file:
        return functools.partial(_token, options), False
    own = own_token(Path(options.state_dir) if options.state_dir else None)
    return functools.partial(str, own), True


def _token(options: Options) -> str:
    if not options.token_file:
        return options.token
    try:
        return Path(options.token_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"{options.token_file}: cannot read the camera's token: {reason}") from None
