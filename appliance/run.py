"""The composition root: builds the parts, owns the tasks, and stops them in order.

Read from top to bottom it explains the appliance: settings in, parts out, each handed only what it uses; one task group
owns everything that runs; `_stop` is the order of shutdown.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from aiohttp import web
from msgspec import structs

from appliance.config import Settings
from appliance.device import board, cpus, logs, profile, runtime, sensors, state, systemd
from appliance.device.profile import Profile
from appliance.engines import registry
from appliance.errors import ConfigError, EngineError, ModelError
from appliance.flow.activation import Activation
from appliance.flow.cache import Cache
from appliance.flow.cameras import CameraBook, CameraPolicy
from appliance.flow.detector import Detector
from appliance.flow.inference import Inference, Network
from appliance.flow.lone import Lone
from appliance.flow.mailboxes import Mailboxes
from appliance.flow.pace import Pace
from appliance.flow.sizes import Sizes
from appliance.flow.tally import LATENCY_BOUNDS_S
from appliance.governor.ladder import make_ladder
from appliance.governor.policy import Policy
from appliance.governor.service import Governor
from appliance.health import history_file
from appliance.health.canary import Canary
from appliance.health.facts import Bounds, Notices
from appliance.health.history import History
from appliance.health.recorder import Recorder
from appliance.health.watch import Watch
from appliance.links import mdns
from appliance.models import active, bundle
from appliance.ports import Clock, Notifier
from appliance.process.addresses import ipv4_addresses
from appliance.process.demo_camera import run_camera
from appliance.process.listening import listen, stop_listening
from appliance.process.pulse import Pulse, load_with_patience, ping_every_s
from appliance.process.reload import Reload
from appliance.timeline import Mark, unmarked
from appliance.values import Limits, ModelInfo, Size
from appliance.web import control, metrics, model_control, sockets
from appliance.web import health as health_routes
from appliance.web.access import Access
from appliance.web.app import make_app
from appliance.web.health import Health
from appliance.web.intake import Intake
from appliance.web.publisher import Publisher
from appliance.web.respond import Respond
from appliance.web.vision_api import VisionApi

log = logging.getLogger(__name__)

_GOODBYE_S = 1.0
"""For clients to close their side; frames have been answered by then."""
_USUAL_IMAGE = Size(1280, 720)


Load = Callable[[Settings], Network]


@dataclass(frozen=True, slots=True)
class Started:
    """What the terminal is told when the port is open."""

    port: int
    health: Health
    activation: Activation


def load_network(settings: Settings, prepare: bool = True, mark: Mark = unmarked) -> Network:
    """The model and an engine that runs it. Raises ModelError or EngineError.

    `prepare`: compile for the shape of most cameras now, so that their first frame does not wait for it. `mark`: told
    the steps as they are done.
    """
    found = bundle.read(Path(settings.model.dir) / settings.model.name)
    mark("model checked")
    engine = registry.create(
        settings.engine.kind,
        found.network_for(registry.find(settings.engine.kind).reads),
        device=settings.engine.device,
        precision=settings.engine.precision,
        threads=settings.engine.threads or cpus.restricted_to(),
        hint="throughput" if settings.engine.hint == "auto" else settings.engine.hint,
        cache=_compiled(settings),
    )
    mark("engine")
    reader = found.reader(settings.model.iou, settings.model.max_detections)
    info = ModelInfo(found.name, engine.name, engine.device, found.precision or engine.precision, found.classes)
    sizes = Sizes(engine, found.stride, found.fixed_size, most=settings.engine.sizes)
    network = Network(info, engine, reader, sizes)
    if prepare:
        compiled = engine.prepare(sizes.best(_USUAL_IMAGE, settings.flow.max_side))
        mark("compiled" if compiled else "compiled before")
    return network


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
    load: Load = load_network,
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
    configured, settings = settings, in_force(settings)

    # What is known of its cameras, and who is let in.
    book = CameraBook(policies=_policies(settings), burst=settings.flow.burst)
    access = Access()
    _grant(access, settings)

    # The way out of a frame.
    socket_options = _socket_options(settings)
    socket_server = sockets.make_server(socket_options)
    emit, backlog = sockets.transport_of(socket_server)
    publisher = Publisher(emit=emit, backlog=backlog)

    # The way through.
    model_error: ModelError | EngineError | ConfigError | None
    if problem is None:
        network, model_error = await load_with_patience(notifier, lambda: _try(load, settings))
    else:
        network, model_error = None, _in_safe_mode(problem)
    known = _known_costs(settings, network)
    policy = _policy(settings, network, known)
    limits = _limits(settings) if policy is None else policy.ladder.steps[0].limits
    pace = Pace(book, limits=limits, announce=publisher.announce, jpeg_quality=settings.flow.jpeg_quality, clock=clock)
    _learn_first_cost(settings, network, known, pace)
    detector = Detector(
        inference=inference_of(settings, network, clock) if network else None,
        model_error=model_error,
        mailboxes=Mailboxes(
            max_cameras=settings.flow.max_waiting,
            max_bytes=settings.flow.max_waiting_bytes,
            max_age_s=settings.flow.max_age_s,
            clock=clock,
        ),
        cache=_cache(settings, clock),
        book=book,
        pace=pace,
        publish=publisher.publish,
        clock=clock,
        slow_frame_s=settings.flow.slow_frame_s,
        deadline_s=settings.flow.deadline_s,
    )

    # Heat and health.
    folder = _state_folder(settings)
    governor = Governor(
        sensors=sensors.MachineSensors(disk=_disk(settings), clock=clock),
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
    )

    now = settings

    def govern() -> None:
        """What the box takes on follows the settings and the network in use."""
        governor.follow(_policy(now, detector.network, _known_costs(settings, detector.network)), _limits(now))

    def apply(new: Settings) -> None:
        """All that a reload changes."""
        nonlocal now
        now = new
        _grant(access, new)
        book.follow(_policies(new))
        govern()
        logs.set_level(new.log.level)

    reloads = Reload(configured, read=read or (lambda: configured), apply=apply)

    def load_other(name: str) -> Inference:
        """Another model, with the settings that this process began with."""
        if problem is not None:
            raise ModelError(str(_in_safe_mode(problem)), active.NOT_ACTIVATED)
        return inference_of(settings, load(with_model(settings, name)), clock)

    activation = Activation(
        detector=detector, load=load_other, max_side=settings.flow.max_side, clock=clock, swapped=govern
    )

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
        bounds=Bounds(settings.governor.critical_temp_c, settings.governor.min_available_bytes),
        clock=clock,
        notices=lambda: Notices(str(problem) if problem else None, reloads.problem),
    )

    # The way in.
    intake = make_intake(settings, clock)
    sockets.Sockets(
        socket_server,
        options=socket_options,
        access=access,
        intake=intake,
        detector=detector,
        book=book,
        pace=pace,
        publisher=publisher,
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
    )

    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_GOODBYE_S)
    await runner.setup()
    try:
        await listen(runner, passed, settings.server.host, settings.server.port)
        running = Started(runner.addresses[0][1], health, activation)
        started(running)
        pulse = Pulse(
            notifier,
            health,
            ready=lambda: ready(running),
            every_s=ping_every_s(systemd.watchdog_s()),
            clock=clock,
        )
        own = runtime.control_socket(os.environ, os.getuid())
        models = model_control.routes(activation, Path(settings.model.dir), configured.model.name)
        async with control.listening(governor, own, models), anyio.create_task_group() as group:
            group.start_soon(publisher.run, name="publisher")
            group.start_soon(detector.run, name="detector")
            group.start_soon(governor.run, name="governor")
            group.start_soon(watch.run, health.look, name="watch")
            group.start_soon(canary.run, name="canary")
            if network is not None:
                group.start_soon(reloads.run, reload or asyncio.Event(), pulse, name="reload")
            group.start_soon(pulse.run, name="pulse")
            async with anyio.create_task_group() as beside:
                if settings.server.advertise:
                    beside.start_soon(mdns.advertise, running.port, ipv4_addresses(), name="mdns")
                if camera_source is not None:
                    beside.start_soon(run_camera, camera_source, running.port, name="camera")
                await until(running)
                beside.cancel_scope.cancel()
            await _stop(settings, detector, socket_server, runner, keep_waiting=bool(passed))
            group.cancel_scope.cancel()
    finally:
        await runner.cleanup()
        if folder is not None:
            folder.close()
        if detector.network is not None and not detector.in_flight:  # what hangs is not waited for
            detector.network.sizes.close()
            detector.network.engine.close()


async def _stop(
    settings: Settings, detector: Detector, socket_server: Any, runner: web.AppRunner, *, keep_waiting: bool
) -> None:
    """The order of shutdown: refuse frames, answer those taken, close connections, close the port.

    `keep_waiting`: the port is systemd's, so that cameras that come now wait there for the next process.
    """
    log.info("stopping")
    if keep_waiting:
        await stop_listening(runner)
    await detector.drain(settings.server.drain_s)
    await asyncio.sleep(0.1)  # the last answers leave
    await sockets.close_all(socket_server, _GOODBYE_S)
    await runner.cleanup()


def _in_safe_mode(problem: ConfigError) -> ConfigError:
    """Why no frame is looked at, for cameras."""
    return ConfigError(f"the box waits for its settings to be mended: {problem}", "safe_mode")


def _try(load: Load, settings: Settings) -> tuple[Network | None, ModelError | EngineError | None]:
    """Without a model the box is not dark: it answers, and says what is missing."""
    try:
        return load(settings), None
    except (ModelError, EngineError) as error:
        log.error("no working model: %s", error)
        return None, error


def _compiled(settings: Settings) -> Path | None:
    """Where OpenVINO keeps what it has compiled."""
    if not settings.engine.cache:
        return None
    own = os.environ.get("CACHE_DIRECTORY")  # systemd's CacheDirectory=
    return Path(own.partition(":")[0]) / "compiled" if own else Path(settings.model.dir) / ".compiled"


def _known_costs(settings: Settings, network: Network | None) -> Profile | None:
    """What `appliance bench` measured on this box with this model, if it ran."""
    if network is None:
        return None
    path = profile.path_in(Path(settings.model.dir), network.info.name)
    return profile.read(path, profile.subject_of(network.info))


def _learn_first_cost(settings: Settings, network: Network | None, known: Profile | None, pace: Pace) -> None:
    """The first cameras are told a pace that this box keeps, where its costs are known."""
    rung = known.cost(settings.flow.max_side) if known else None
    if network is not None and rung is not None:
        pace.learn(network.engine.slots, rung.infer_ms / 1000)


def inference_of(settings: Settings, network: Network, clock: Clock) -> Inference:
    """What looks at frames with this network."""
    refresh_s = settings.flow.refresh_s if settings.flow.scene_gate else None
    lone = Lone(clock) if settings.engine.hint == "auto" else None
    return Inference(network, clock=clock, refresh_s=refresh_s, lone=lone)


def with_model(settings: Settings, name: str) -> Settings:
    """These settings with another model."""
    return structs.replace(settings, model=structs.replace(settings.model, name=name))


def in_force(settings: Settings) -> Settings:
    """These settings with the model that was activated last."""
    return with_model(settings, active.read(Path(settings.model.dir), settings.model.name).name)


def _cache(settings: Settings, clock: Clock) -> Cache | None:
    cache = settings.cache
    if not cache.enabled:
        return None
    return Cache(entries=cache.entries, max_bytes=cache.max_bytes, ttl_s=cache.ttl_s, clock=clock)


def _state_folder(settings: Settings) -> state.StateFolder | None:
    if not settings.state.history:
        return None
    return state.open_folder(_state_dir(settings))


def _state_dir(settings: Settings) -> Path:
    return Path(settings.state.dir) if settings.state.dir else state.default_dir(os.environ)


def _disk(settings: Settings) -> Path:
    """What is watched for room and damage: where state lies. Models may be on what the service shall only read."""
    folder = _state_dir(settings)
    return folder if folder.is_dir() else Path(settings.model.dir)


def _uptime() -> float:
    """Seconds since the machine started, those it slept included: a sleep is not a clock that was set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _policy(settings: Settings, network: Network | None, known: Profile | None) -> Policy | None:
    governor = settings.governor
    if not governor.enabled:
        return None
    full = _limits(settings)
    smallest = network.sizes.best(_USUAL_IMAGE, 64) if network is not None else None
    ladder = make_ladder(
        full,
        known,
        slots=network.engine.slots if network is not None else 1,
        one_size=network is not None and smallest == network.sizes.best(_USUAL_IMAGE, full.max_side),
        priorities=any(camera.priority > 0 for camera in settings.cameras.values()),
    )
    return Policy(governor.target_temp_c, governor.critical_temp_c, governor.min_available_bytes, ladder)


def _limits(settings: Settings) -> Limits:
    """What a cool box may do."""
    return Limits(settings.flow.max_side, settings.flow.min_interval_s, max_in_flight=8)


def _policies(settings: Settings) -> dict[str, CameraPolicy]:
    return {
        name: CameraPolicy(camera.token, camera.weight, camera.priority, camera.min_interval_s)
        for name, camera in settings.cameras.items()
    }


def _grant(access: Access, settings: Settings) -> None:
    server = settings.server
    access.viewer_token, access.api_key = server.viewer_token, server.api_key
    access.require_token, access.max_connections = server.require_token, server.max_connections


def make_intake(settings: Settings, clock: Clock) -> Intake:
    """The reader of what strangers send, with the settings' bounds."""
    return Intake(settings.server.max_frame_bytes, settings.flow.max_pixels, settings.model.min_confidence, clock)


def _socket_options(settings: Settings) -> sockets.SocketOptions:
    server = settings.server
    return sockets.SocketOptions(
        cors_origins=server.cors_origins,
        ping_interval_s=server.ping_interval_s,
        ping_timeout_s=server.ping_timeout_s,
        max_frame_bytes=server.max_frame_bytes,
        compression=server.compression,
        compression_min_bytes=server.compression_min_bytes,
    )
