"""Run the service: load the model, build the parts, open the port, run until stopped, shut down in order."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
from aiohttp import web

from appliance import __version__
from appliance.control import cameras as camera_control
from appliance.control import erase as erase_control
from appliance.control import models as model_control
from appliance.control import server as control
from appliance.control import site as site_control
from appliance.control import socket_path
from appliance.control import state as state_control
from appliance.control import tokens as token_control
from appliance.device import listening_address, systemd
from appliance.device.erasure import Erasure
from appliance.errors import ConfigError, EngineError, ModelError
from appliance.models import scratch
from appliance.ports import Notifier
from appliance.service import demo_camera, from_settings, loading, mdns
from appliance.service.addresses import addresses, ipv4_addresses
from appliance.service.build import build
from appliance.service.entrance import FirstToken
from appliance.service.listening import Port, listen
from appliance.service.parts import Given, Loaded, LoadNetwork, Parts, ProcessMemory, in_safe_mode
from appliance.service.pulse import Pulse, load_with_patience, ping_every_s
from appliance.settings.schema import Settings
from appliance.web.ingress.handler import handlers

log = logging.getLogger(__name__)

_GOODBYE_S = 1.0
"""For clients to close their side; frames have been answered by then."""
_COMPILATION_S = 10.0
"""For a compilation to end."""


@dataclass(frozen=True, slots=True)
class Started:
    """A service whose port is open."""

    port: int
    parts: Parts
    first_token: FirstToken | None = None
    """The operator's token, if this start has made it."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """Who hears of the service's life: `started` when the port is open, `ready` when the self-test has passed; the
    service stops when `until` returns.
    """

    started: Callable[[Started], None]
    ready: Callable[[Started], None]
    until: Callable[[Started], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the process gives the service: systemd's sockets and notifier, and the event that SIGHUP sets.

    `passed`: listening sockets to serve on, in place of the port. `camera_source`: what the demo camera pushes.
    `root`: under which the sensors' files are. `runtime`: systemd's folder for files that end with the service; other
    programs find the port there. `memory`: what a former service of this process has left.
    """

    passed: Sequence[socket.socket] = ()
    notifier: Notifier = field(default_factory=systemd.NoNotifier)
    reload: asyncio.Event | None = None
    camera_source: str | None = None
    root: Path = Path("/")
    runtime: Path | None = None
    memory: ProcessMemory = field(default_factory=ProcessMemory)


async def serve(
    settings: Settings,
    hooks: Hooks,
    surroundings: Surroundings | None = None,
    *,
    problem: ConfigError | None = None,
    read: Callable[[], Settings] | None = None,
    load: LoadNetwork = loading.load_to_serve,
) -> None:
    """Serve until `hooks.until` returns.

    `problem`: what is wrong with the written settings; no model is loaded then (safe mode). `read`: reads the settings
    again when a reload is asked for.

    Raises PortError when the port cannot be opened.
    """
    surroundings = surroundings or Surroundings()
    decoder = from_settings.decoder(settings)
    given = Given(
        settings,
        loading.in_force(settings),
        problem,
        read or (lambda: settings),
        load,
        decoder=decoder,
        root=surroundings.root,
        reload=surroundings.reload or asyncio.Event(),
        memory=surroundings.memory,
    )
    parts = build(given, await _load(given, surroundings.notifier))
    runner = web.AppRunner(parts.app, access_log=None, handle_signals=False, shutdown_timeout=_GOODBYE_S)
    await runner.setup()
    port: Port | None = None
    try:
        server, tls = parts.settings.server, parts.encryption.tls
        await parts.encryption.refresh()
        connect = handlers(runner, parts.limiter)
        port = await listen(surroundings.passed, server.host, server.port, parts.limiter, connect, lambda: tls.context)
        await _publish_address(surroundings.runtime, port)
        started = Started(port.number, parts, await parts.entrance.first_start(exposed=port.exposed))
        hooks.started(started)
        with parts.tail.attached():
            await _run(started, hooks, surroundings, runner, port, given)
    finally:
        if port is not None:
            port.close()
            await _publish_address(surroundings.runtime, port)
        await runner.cleanup()
        _release(parts)
        decoder.close()


async def _publish_address(runtime: Path | None, port: Port) -> None:
    """Write where the port is to systemd's folder of this service, or remove the file once it is closed."""
    if runtime is None:
        return
    address = port.address
    try:
        if address is not None:
            await anyio.to_thread.run_sync(listening_address.write, runtime, address)
        else:
            await anyio.to_thread.run_sync(listening_address.remove, runtime)
    except OSError as error:
        log.warning("cannot write the port to %s, where updates look for it: %s", runtime, error.strerror)


async def _load(given: Given, notifier: Notifier) -> Loaded:
    """The model, while systemd is asked for patience. Without a model the device still answers, and says what is
    missing.
    """
    if given.problem is not None:
        return Loaded(None, in_safe_mode(given.problem))

    def load() -> Loaded:
        scratch.sweep(Path(given.settings.model.dir))
        try:
            return Loaded(given.load(given.settings), None)
        except (ModelError, EngineError) as error:
            log.error("no working model: %s", error)
            return Loaded(None, error)

    return await load_with_patience(notifier, load)


async def _run(
    started: Started,
    hooks: Hooks,
    surroundings: Surroundings,
    runner: web.AppRunner,
    port: Port,
    given: Given,
) -> None:
    """Run every task until the service is to stop, then stop them in order."""
    parts, path = started.parts, started.parts.path
    pulse = Pulse(
        surroundings.notifier,
        parts.vitals,
        ready=lambda: hooks.ready(started),
        every_s=ping_every_s(systemd.watchdog_s()),
    )
    socket = socket_path.control_socket(os.environ, os.getuid())
    verbs = control_verbs(parts, configured=given.written.model.name)
    controls = control.listening(parts.governor, parts.entrance.audit, socket, verbs)
    async with controls, anyio.create_task_group() as group:
        # Frames need these: where one fails, the service ends, and systemd starts it again.
        group.start_soon(port.run, name="port")
        group.start_soon(parts.limiter.run, path.transport.sweep, name="connection limiter")
        group.start_soon(path.publisher.run, name="publisher")
        group.start_soon(path.detector.run, name="detector")
        group.start_soon(parts.governor.run, name="governor")
        group.start_soon(pulse.run, name="pulse")
        # Frames do not need these: where one fails, it alone starts again.
        for name, part in (
            ("watch", lambda: parts.watch.run(parts.vitals.sample)),
            ("cameras", parts.roster_keeper.run),
            ("canary", parts.canary.run),
            ("rebuild", parts.rebuild.run),
            ("events", path.feed.run),
            ("certificate", parts.encryption.run),
            *parts.links.tasks(),
            *parts.site.tasks(),
            ("entrance", parts.entrance.run),
            ("updates", parts.news.run),
            ("calibration frames", path.calibration_frames.run),
            ("reload", lambda: parts.reloads.run(given.reload, pulse, parts.changes.working)),
        ):
            group.start_soon(parts.spare.keep, name, part, name=name)
        await _until_stopped(started, hooks, surroundings)
        await _stop(parts, runner, port, keep_waiting=bool(surroundings.passed))
        group.cancel_scope.cancel()


def control_verbs(parts: Parts, configured: str) -> list[web.RouteDef]:
    """What the control socket serves besides the governor. `configured`: the model that the settings name."""
    entrance, vitals = parts.entrance, parts.vitals
    cameras = camera_control.verbs(vitals.known_cameras, vitals.roster.remove, vitals.roster.relabel)
    return [
        *model_control.routes(parts.activation, entrance.audit, Path(parts.settings.model.dir), configured),
        *camera_control.routes(vitals.known_cameras, cameras, entrance.audit),
        *state_control.routes(parts.reports),
        *site_control.routes(parts.site.mover, entrance.audit),
        *erase_control.routes(Erasure(from_settings.state_dir(parts.settings)), entrance.audit),
        *token_control.routes(entrance.token_verbs, entrance.tokens, entrance.pairings, entrance.audit),
    ]


async def _until_stopped(started: Started, hooks: Hooks, surroundings: Surroundings) -> None:
    """Announce the service and run the demo camera until the service is to stop."""
    settings, spare = started.parts.settings, started.parts.spare
    async with anyio.create_task_group() as group:
        if settings.server.advertise:
            facts = partial(announced_facts, started.parts)
            announce = partial(mdns.advertise, started.port, ipv4_addresses, facts=facts)
            group.start_soon(spare.keep, "mdns", announce, name="mdns")
        if surroundings.camera_source is not None:
            url = addresses(settings.server.host, started.port)[0]
            demo = settings.cameras.get(demo_camera.NAME)
            token = demo.token if demo else ""
            agent = partial(demo_camera.run_camera, surroundings.camera_source, url, token)
            group.start_soon(spare.keep, "camera", agent, name="camera")
        await hooks.until(started)
        group.cancel_scope.cancel()


def announced_facts(parts: Parts) -> dict[str, str]:
    """What the device says of itself by mDNS. `sha256`: of the key that the port presents over HTTPS."""
    presented, network = parts.encryption.tls.state, parts.path.detector.network
    return {
        "version": __version__,
        "path": "/",
        "model": network.info.name if network else "",
        "fingerprint": presented.facts.fingerprint if presented else "",
        "sha256": presented.facts.key_pin if presented else "",
    }


async def _stop(parts: Parts, runner: web.AppRunner, port: Port, *, keep_waiting: bool) -> None:
    """The order of shutdown: refuse frames, answer those taken, close connections, close the port.

    `keep_waiting`: systemd holds the port, so that cameras that connect now wait there for the next process.
    """
    log.info("stopping")
    path = parts.path
    if keep_waiting and not parts.site.stands_behind_a_front:
        port.close()
    path.connections.refuse_new()
    await parts.site.leave()  # the front takes a refused connection to another device at once, a waiting one late
    if keep_waiting:
        port.close()
    await path.detector.drain(parts.settings.server.drain_s)
    path.feed.close("device_stopped")
    await parts.links.finish(_GOODBYE_S)
    await path.publisher.drain(_GOODBYE_S)
    await path.connections.close_all(_GOODBYE_S)
    port.close()
    await runner.cleanup()


def _release(parts: Parts) -> None:
    if parts.folder is not None:
        parts.folder.close()
    detector = parts.path.detector
    if detector.network is not None and not detector.in_flight:  # nobody waits for a chip that hangs
        detector.network.close(_COMPILATION_S)
