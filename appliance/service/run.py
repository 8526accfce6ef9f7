"""The composition root: builds the parts, owns the tasks, and stops them in order.

Read from top to bottom it explains the appliance: settings in, parts out, each handed only what it uses; one task group
owns everything that runs; `_stop` is the order of shutdown. Some 330 lines, since it is one list.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
from aiohttp import web

from appliance.control import models, server, socket_path
from appliance.device import board, logs, systemd
from appliance.device.sensors.machine import MachineSensors
from appliance.errors import ConfigError, EngineError, ModelError
from appliance.flow.activation import Activation
from appliance.flow.cameras import CameraBook
from appliance.flow.detector import Detector
from appliance.flow.inference import Inference, Network
from appliance.flow.mailboxes import Mailboxes
from appliance.flow.pace import Pace
from appliance.flow.rebuild import Rebuild
from appliance.flow.recompile import Recompile
from appliance.flow.tally import LATENCY_BOUNDS_S
from appliance.governor.room import Room
from appliance.governor.service import Governor
from appliance.health import history_file
from appliance.health.canary import Canary
from appliance.health.facts import Bounds, Notices
from appliance.health.history import History
from appliance.health.recorder import Recorder
from appliance.health.watch import Watch
from appliance.models import active, scratch
from appliance.ports import Notifier
from appliance.service import demo_camera, mdns, parts
from appliance.service.addresses import addresses, ipv4_addresses
from appliance.service.listening import Port, listen
from appliance.service.pulse import Pulse, load_with_patience, ping_every_s
from appliance.service.reload import Reload
from appliance.service.spare import Spare
from appliance.settings.schema import Settings
from appliance.vision.admission import Admission
from appliance.web import health as health_routes
from appliance.web import metrics, sockets
from appliance.web.access import Access
from appliance.web.app import make_app
from appliance.web.connections import Connections
from appliance.web.health import Health
from appliance.web.ingress.door import Door
from appliance.web.ingress.handler import handlers
from appliance.web.publisher import Publisher
from appliance.web.refusals import Refusals
from appliance.web.respond import Respond
from appliance.web.transport import Transport
from appliance.web.vision_api import VisionApi

log = logging.getLogger(__name__)

_GOODBYE_S = 1.0
"""For clients to close their side; frames have been answered by then."""
_COMPILATION_S = 10.0
"""For a compilation to end."""

Load = Callable[[Settings], Network]


@dataclass(frozen=True, slots=True)
class Started:
    """What the terminal is told when the port is open."""

    port: int
    health: Health
    activation: Activation


async def serve(
    settings: Settings,
    *,
    started: Callable[[Started], None],
    ready: Callable[[Started], None],
    until: Callable[[Started], Awaitable[object]],
    problem: ConfigError | None = None,
    reload: asyncio.Event | None = None,
    read: Callable[[], Settings] | None = None,
    passed: Sequence[socket.socket] = (),
    notifier: Notifier | None = None,
    camera_source: str | None = None,
    load: Load = parts.load_to_serve,
) -> None:
    """Serve until `until` returns.

    `started` is called when the port is open, `ready` when the canary has come back. `problem`: what is wrong with the
    written settings; no model is loaded then (safe mode). Whenever `reload` is set, what may change while cameras stay
    connected is taken from what `read` returns. `passed`: listening sockets to serve on, in place of the port.
    `camera_source` also starts a camera agent, in a process of its own, that pushes that source.

    Raises PortError when the port cannot be opened.
    """
    clock = time.monotonic
    notifier = notifier or systemd.NoNotifier()
    configured, settings = settings, parts.in_force(settings)

    # What is known of its cameras, and who is let in.
    book = CameraBook(policies=parts.camera_policies(settings), burst=settings.flow.burst)
    access = Access()
    parts.grant(access, settings)

    # Who may connect, and what that may cost.
    door = Door(parts.ingress_limits(settings), clock)

    # The way out of a frame.
    socket_options = parts.socket_options(settings)
    socket_server = sockets.make_server(socket_options)
    transport = Transport(socket_server, door)
    emit, backlog = sockets.transport_of(socket_server)
    publisher = Publisher(emit=emit, backlog=backlog, keep_pictures=settings.server.keep_pictures)
    connections = Connections(socket_server)

    # The way through.
    room = Room()
    admission = Admission(room)
    model_error: ModelError | EngineError | ConfigError | None
    if problem is None:
        network, model_error = await load_with_patience(notifier, lambda: _try(load, settings))
    else:
        network, model_error = None, _in_safe_mode(problem)
    known = parts.known_costs(settings, network)
    policy = parts.governor_policy(settings, network, known)
    limits = parts.full_limits(settings) if policy is None else policy.ladder.steps[0].limits
    pace = Pace(book, limits=limits, announce=publisher.announce, jpeg_quality=settings.flow.jpeg_quality, clock=clock)
    parts.learn_first_cost(settings, network, known, pace)
    detector = Detector(
        inference=parts.inference_of(settings, network, clock, admission) if network else None,
        model_error=model_error,
        mailboxes=Mailboxes(
            max_cameras=settings.flow.max_waiting,
            max_bytes=settings.flow.max_waiting_bytes,
            max_age_s=settings.flow.max_age_s,
            clock=clock,
        ),
        cache=parts.answer_cache(settings, clock),
        book=book,
        pace=pace,
        publish=publisher.publish,
        clock=clock,
        slow_frame_s=settings.flow.slow_frame_s,
        deadline_s=settings.flow.deadline_s,
    )

    # Heat and health.
    folder = parts.state_folder(settings)
    governor = Governor(
        sensors=MachineSensors(disk=parts.disk(settings), clock=clock),
        policy=policy,
        full=limits,
        apply=detector.apply,
        clock=clock,
    )
    canary = Canary(
        ask=detector.ask,
        idle=lambda: detector.in_flight == 0,
        classes=lambda: detector.network.info.classes if detector.network else (),
        clock=clock,
        most=lambda: settings.model.max_detections,
        failed=lambda: recompile.run(),
    )

    # What may change while it runs: settings, the model, its engine.
    now = settings
    working = asyncio.Event()  # without a network a reload is another try to start (see `boot`)
    if network is not None:
        working.set()

    def govern() -> None:
        """What the box takes on follows the settings and the network in use."""
        governor.follow(
            parts.governor_policy(now, detector.network, parts.known_costs(settings, detector.network)),
            parts.full_limits(now),
        )

    def swapped() -> None:
        working.set()
        govern()
        rebuild.look_again()

    def apply(new: Settings) -> None:
        """All that a reload changes."""
        nonlocal now
        now = new
        parts.grant(access, new)
        door.limits = parts.ingress_limits(new)
        book.follow(parts.camera_policies(new))
        govern()
        logs.set_level(new.log.level)

    reloads = Reload(configured, read=read or (lambda: configured), apply=apply)

    def load_other(name: str) -> Inference:
        """Another model, with the settings that this process began with."""
        if problem is not None:
            raise ModelError(str(_in_safe_mode(problem)), active.NOT_ACTIVATED)
        return parts.inference_of(settings, load(parts.with_model(settings, name)), clock, admission)

    activation = Activation(
        detector=detector,
        load=load_other,
        max_side=settings.flow.max_side,
        clock=clock,
        swapped=swapped,
        room_bytes=room,
    )
    rebuild = Rebuild(detector=detector, activate=activation.activate)
    recompile = Recompile(detector=detector, activate=lambda name: activation.activate(name, bounds=None), clock=clock)

    spare = Spare(clock)

    def notices() -> Notices:
        stays = rebuild.problem
        return Notices(
            safe_mode=str(problem) if problem else None,
            config_not_reloaded=reloads.problem,
            engine_stand_in=rebuild.stand_in,
            engine_problem=stays.why if stays is not None else None,
            engine_built=stays is not None and stays.built,
            part_failed=spare.problem,
        )

    # What it says of itself.
    loaded = history_file.load(folder)
    recorder = Recorder(History(loaded.rows), latency_bounds_s=LATENCY_BOUNDS_S, clock=_uptime, wall_clock=time.time)
    watch = Watch(loaded, recorder, clock=clock)
    health = Health(
        detector=detector,
        pace=pace,
        book=book,
        governor=governor,
        canary=canary,
        publisher=publisher,
        watch=watch,
        board=board.identify(),
        bounds=Bounds(
            settings.governor.critical_temp_c, settings.governor.min_available_bytes, settings.flow.deadline_s
        ),
        clock=clock,
        notices=notices,
    )

    # The way in.
    intake = parts.make_intake(settings, clock)
    sockets.Sockets(
        socket_server,
        options=socket_options,
        access=access,
        intake=intake,
        detector=detector,
        book=book,
        pace=pace,
        publisher=publisher,
        connections=connections,
        refusals=Refusals(clock),
    )
    respond = Respond(
        compression=settings.server.compression, compression_min_bytes=settings.server.compression_min_bytes
    )
    app = make_app(
        socket_server=socket_server,
        publisher=publisher,
        routes=[
            *health_routes.routes(health, respond),
            *metrics.routes(health),
            *VisionApi(detector, intake, respond, access).routes(),
        ],
        respond=respond,
        access=access,
        websocket_deflate=settings.server.websocket_deflate,
        connections=connections,
    )

    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_GOODBYE_S)
    await runner.setup()
    port: Port | None = None
    try:
        port = await listen(passed, settings.server.host, settings.server.port, door, handlers(runner, door))
        running = Started(port.number, health, activation)
        started(running)
        pulse = Pulse(
            notifier,
            health,
            ready=lambda: ready(running),
            every_s=ping_every_s(systemd.watchdog_s()),
            clock=clock,
        )
        own = socket_path.control_socket(os.environ, os.getuid())
        models = models.routes(activation, Path(settings.model.dir), configured.model.name)
        async with server.listening(governor, own, models), anyio.create_task_group() as group:
            group.start_soon(port.run, name="port")
            group.start_soon(door.run, transport.sweep, name="door")
            group.start_soon(publisher.run, name="publisher")
            group.start_soon(detector.run, name="detector")
            group.start_soon(governor.run, name="governor")
            group.start_soon(pulse.run, name="pulse")
            # Frames do not need these: where one fails, the service goes on.
            asked = reload or asyncio.Event()
            for name, part in (
                ("watch", lambda: watch.run(health.look)),
                ("canary", canary.run),
                ("rebuild", rebuild.run),
                ("reload", lambda: reloads.run(asked, pulse, working)),
            ):
                group.start_soon(spare.keep, name, part, name=name)
            async with anyio.create_task_group() as beside:
                if settings.server.advertise:
                    announce = partial(mdns.advertise, running.port, ipv4_addresses())
                    beside.start_soon(spare.keep, "mdns", announce, name="mdns")
                if camera_source is not None:
                    own_url = addresses(settings.server.host, running.port)[0]
                    demo = settings.cameras.get(demo_camera.NAME)
                    token = demo.token if demo else ""
                    demo_agent = partial(demo_camera.run_camera, camera_source, own_url, token)
                    beside.start_soon(spare.keep, "camera", demo_agent, name="camera")
                await until(running)
                beside.cancel_scope.cancel()
            await _stop(settings, detector, publisher, connections, runner, port, keep_waiting=bool(passed))
            group.cancel_scope.cancel()
    finally:
        if port is not None:
            port.close()
        await runner.cleanup()
        if folder is not None:
            folder.close()
        if detector.network is not None and not detector.in_flight:  # what hangs is not waited for
            detector.network.close(_COMPILATION_S)


async def _stop(
    settings: Settings,
    detector: Detector,
    publisher: Publisher,
    connections: Connections,
    runner: web.AppRunner,
    port: Port,
    *,
    keep_waiting: bool,
) -> None:
    """The order of shutdown: refuse frames, answer those taken, close connections, close the port.

    `keep_waiting`: the port is systemd's, so that cameras that come now wait there for the next process.
    """
    log.info("stopping")
    if keep_waiting:
        port.close()
    connections.refuse_new()
    await detector.drain(settings.server.drain_s)
    await publisher.delivered(_GOODBYE_S)
    await connections.close_all(_GOODBYE_S)
    port.close()
    await runner.cleanup()


def _in_safe_mode(problem: ConfigError) -> ConfigError:
    """Why no frame is looked at, for cameras."""
    return ConfigError(f"the box waits for its settings to be mended: {problem}", "safe_mode")


def _try(load: Load, settings: Settings) -> tuple[Network | None, ModelError | EngineError | None]:
    """Without a model the box is not dark: it answers, and says what is missing."""
    scratch.sweep(Path(settings.model.dir))
    try:
        return load(settings), None
    except (ModelError, EngineError) as error:
        log.error("no working model: %s", error)
        return None, error


def _uptime() -> float:
    """Seconds since the machine started, those it slept included: a sleep is not a clock that was set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
