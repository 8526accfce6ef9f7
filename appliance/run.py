"""The composition root: builds the parts, owns the tasks, and stops them in order.

Read from top to bottom it explains the appliance: settings in, parts out, each handed only what it uses; one task group
owns everything that runs; `_stop` is the order of shutdown.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from aiohttp import web

from appliance.config import Settings
from appliance.device import board, cpus, profile, sensors, systemd
from appliance.engines import registry
from appliance.errors import EngineError, ModelError
from appliance.flow.cache import Cache
from appliance.flow.cameras import CameraBook, CameraPolicy
from appliance.flow.detector import Detector
from appliance.flow.inference import Inference, Network
from appliance.flow.mailboxes import Mailboxes
from appliance.flow.pace import Pace
from appliance.flow.sizes import Sizes
from appliance.governor.policy import Policy, State, limits_of
from appliance.governor.service import Governor
from appliance.health.canary import Canary
from appliance.models import bundle
from appliance.ports import Clock, Notifier
from appliance.process.demo_camera import run_camera
from appliance.process.pulse import tell_manager
from appliance.values import Limits, ModelInfo, Size
from appliance.vision.heads import Reader
from appliance.web import health as health_routes
from appliance.web import metrics, sockets
from appliance.web.app import Respond, make_app
from appliance.web.health import Health
from appliance.web.intake import Intake
from appliance.web.publisher import Publisher
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


def load_network(settings: Settings, prepare: bool = True) -> Network:
    """The model and an engine that runs it. Raises ModelError or EngineError.

    `prepare`: compile for the shape of most cameras now, so that their first frame does not wait for it.
    """
    found = bundle.read(Path(settings.model.dir) / settings.model.name)
    engine = registry.create(
        settings.engine.kind,
        found.network,
        device=settings.engine.device,
        precision=settings.engine.precision,
        threads=settings.engine.threads or cpus.restricted_to(),
        hint=settings.engine.hint,
        sizes=settings.engine.sizes,
        cache=_compiled(settings),
    )
    reader = Reader(found.head, found.classes, settings.model.iou, settings.model.max_detections)
    info = ModelInfo(found.name, engine.name, engine.device, found.precision or engine.precision, found.classes)
    sizes = Sizes(engine, found.stride, found.fixed_size, most=settings.engine.sizes, exact=settings.engine.exact_sizes)
    network = Network(info, engine, reader, sizes)
    if prepare:
        engine.prepare(sizes.best(_USUAL_IMAGE, settings.flow.max_side))
    return network


async def serve(
    settings: Settings,
    *,
    started: Callable[[Started], None],
    ready: Callable[[Started], None],
    camera_source: str | None = None,
    load: Load = load_network,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, or until `stop` is set.

    `started` is called when the port is open, `ready` when the canary has come back. `camera_source` also starts a
    camera agent, in a process of its own, that pushes that source. Raises OSError when the port cannot be opened.
    """
    clock = time.monotonic
    stop = stop or asyncio.Event()
    _on_signals(stop)
    notifier = systemd.notifier()

    # What the box may do, and what is known of its cameras.
    policy = _policy(settings)
    limits = Limits(settings.flow.max_side, settings.flow.min_interval_s, max_in_flight=8)
    if policy is not None:
        limits = limits_of(State(), limits)
    policies = {
        name: CameraPolicy(camera.token, camera.weight, camera.priority, camera.min_interval_s)
        for name, camera in settings.cameras.items()
    }
    book = CameraBook(policies=policies, burst=settings.flow.burst)

    # The way out of a frame.
    socket_options = _socket_options(settings)
    socket_server = sockets.make_server(socket_options)
    emit, backlog = sockets.transport_of(socket_server)
    publisher = Publisher(emit=emit, backlog=backlog)

    # The way through.
    network, model_error = await asyncio.get_running_loop().run_in_executor(None, _try, load, settings)
    pace = Pace(book, limits=limits, announce=publisher.announce, jpeg_quality=settings.flow.jpeg_quality, clock=clock)
    _learn_first_cost(settings, network, pace)
    detector = Detector(
        inference=_inference(settings, network, clock),
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
    )

    # Heat and health.
    governor = Governor(
        sensors=sensors.MachineSensors(disk=Path(settings.model.dir), clock=clock),
        policy=policy,
        full=limits,
        apply=detector.apply,
    )
    canary = Canary(
        ask=detector.ask,
        idle=lambda: detector.in_flight == 0,
        classes=lambda: detector.network.info.classes if detector.network else (),
        clock=clock,
    )
    health = Health(
        detector=detector,
        pace=pace,
        governor=governor,
        canary=canary,
        publisher=publisher,
        board=board.board_name(),
        critical_temp_c=settings.governor.critical_temp_c,
        min_available_bytes=settings.governor.min_available_bytes,
        clock=clock,
    )

    # The way in.
    intake = make_intake(settings, clock)
    sockets.Sockets(
        socket_server,
        options=socket_options,
        intake=intake,
        detector=detector,
        book=book,
        pace=pace,
        publisher=publisher,
        policies=policies,
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
            *VisionApi(detector, intake, respond, settings.server.api_key).routes(),
        ],
        respond=respond,
        viewer_token=settings.server.viewer_token,
        websocket_deflate=settings.server.websocket_deflate,
    )

    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_GOODBYE_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.server.host, settings.server.port)
        await site.start()
        running = Started(runner.addresses[0][1], health)
        started(running)
        async with anyio.create_task_group() as group:
            group.start_soon(publisher.run, name="publisher")
            group.start_soon(detector.run, name="detector")
            group.start_soon(governor.run, name="governor")
            group.start_soon(canary.run, name="canary")
            group.start_soon(tell_manager, notifier, health, lambda: ready(running), name="notifier")
            async with anyio.create_task_group() as beside:
                if camera_source is not None:
                    beside.start_soon(run_camera, camera_source, running.port, name="camera")
                await stop.wait()
                beside.cancel_scope.cancel()
            await _stop(settings, notifier, detector, socket_server, runner)
            group.cancel_scope.cancel()
    finally:
        await runner.cleanup()
        if network is not None:
            network.sizes.close()
            network.engine.close()


async def _stop(
    settings: Settings, notifier: Notifier, detector: Detector, socket_server: Any, runner: web.AppRunner
) -> None:
    """The order of shutdown: say so, refuse frames, answer those taken, close connections, close the port."""
    log.info("stopping")
    notifier.stopping()
    await detector.drain(settings.server.drain_s)
    await asyncio.sleep(0.1)  # the last answers leave
    await sockets.close_all(socket_server, _GOODBYE_S)
    await runner.cleanup()


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


def _learn_first_cost(settings: Settings, network: Network | None, pace: Pace) -> None:
    """What `appliance bench` measured on this box, if it ran: the first cameras are then told a pace that it keeps."""
    if network is None:
        return
    path = profile.path_in(Path(settings.model.dir), settings.model.name)
    known = profile.read(path, profile.subject_of(network.info))
    rung = known.cost(settings.flow.max_side) if known else None
    if rung is not None:
        pace.learn(network.engine.slots, rung.infer_ms / 1000)


def _inference(settings: Settings, network: Network | None, clock: Clock) -> Inference | None:
    if network is None:
        return None
    refresh_s = settings.flow.refresh_s if settings.flow.scene_gate else None
    return Inference(network, clock=clock, refresh_s=refresh_s)


def _cache(settings: Settings, clock: Clock) -> Cache | None:
    cache = settings.cache
    if not cache.enabled:
        return None
    return Cache(entries=cache.entries, max_bytes=cache.max_bytes, ttl_s=cache.ttl_s, clock=clock)


def _policy(settings: Settings) -> Policy | None:
    governor = settings.governor
    if not governor.enabled:
        return None
    return Policy(governor.target_temp_c, governor.critical_temp_c, governor.min_available_bytes)


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
        max_connections=server.max_connections,
        require_token=server.require_token,
        viewer_token=server.viewer_token,
    )


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
