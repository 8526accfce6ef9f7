"""Build the service: every part, each handed only what it uses. Nothing runs yet.

Read `build` from top to bottom: the way of a frame, heat and health, what may change while it runs, what it knows about
itself, the way in.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from appliance.control.models import ModelVerbs
from appliance.control.service import ServiceHandles
from appliance.device import board
from appliance.device.clock_cap import ClockHelper
from appliance.device.erasure import Erasure
from appliance.device.log_tail import LogTail
from appliance.device.profile import DeviceProfile
from appliance.device.sensors.machine import MachineSensors
from appliance.device.state import StateFolder
from appliance.engines import registry
from appliance.errors import ConfigError, EngineError, ModelError
from appliance.events.feed import EventFeed
from appliance.flow.activation import Activation
from appliance.flow.cameras import CameraBook
from appliance.flow.detector import Detector
from appliance.flow.inference import Inference, Network
from appliance.flow.mailboxes import Mailboxes
from appliance.flow.pace import Pace
from appliance.flow.rebuild import Rebuild
from appliance.flow.recompile import Recompile
from appliance.flow.tally import LATENCY_BOUNDS_S
from appliance.governor.policy import Policy
from appliance.governor.room import Room
from appliance.governor.service import Governor
from appliance.health import history_file, roster_file
from appliance.health.canary import Canary
from appliance.health.facts import Notices, Thresholds
from appliance.health.history import History
from appliance.health.recorder import Recorder
from appliance.health.roster import Roster
from appliance.health.roster_file import RosterKeeper
from appliance.health.watch import Watch
from appliance.links.links import Links
from appliance.links.mqtt.link import Commands
from appliance.models import active
from appliance.ports import Clock, Publish
from appliance.service import from_settings, linking, loading, starts
from appliance.service.actions import Actions
from appliance.service.changes import Changes
from appliance.service.drawn_areas import DrawnAreas
from appliance.service.encryption import Encryption
from appliance.service.entrance import Entrance
from appliance.service.reload import Reload
from appliance.service.spare import Spare
from appliance.settings.schema import Settings
from appliance.values import Frame, Outcome
from appliance.vision.admission import Admission
from appliance.vision.decoder import Decoder, OwnThread
from appliance.vitals import Delivery, Vitals
from appliance.web import actions as page_actions
from appliance.web import areas as area_routes
from appliance.web import health as health_routes
from appliance.web import metrics, security_txt, session
from appliance.web.access import Access
from appliance.web.app import make_app
from appliance.web.connections import Connections
from appliance.web.ingress.limiter import ConnectionLimiter
from appliance.web.page_files import Page
from appliance.web.publisher import Publisher
from appliance.web.refusals import RefusalThrottle
from appliance.web.respond import Respond
from appliance.web.socket_events import SocketEvents
from appliance.web.socket_server import delivery_through, make_server
from appliance.web.transport import Transport
from appliance.web.vision_api import VisionApi

LoadNetwork = Callable[[Settings], Network]
"""Loads the model that the settings name. Raises ModelError or EngineError."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The network that the service starts with, or why there is none."""

    network: Network | None
    error: ModelError | EngineError | ConfigError | None


@dataclass(frozen=True, slots=True)
class Given:
    """What the service is built from.

    `written`: the settings as written; `settings`: with the model that was activated last. `problem`: what is wrong
    with the written settings; no model is loaded then (safe mode). `read`: reads the settings again.
    """

    written: Settings
    settings: Settings
    problem: ConfigError | None
    read: Callable[[], Settings]
    load: LoadNetwork
    clock: Clock = time.monotonic
    decoder: Decoder = field(default_factory=OwnThread)
    reload: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to have the settings read again."""


@dataclass(frozen=True, slots=True)
class FramePath:
    """The parts that a frame passes, and what is known about its camera."""

    admission: Admission
    """Which pictures may be decoded with the memory that is left."""
    book: CameraBook
    socket_server: Any
    transport: Transport
    connections: Connections
    publisher: Publisher
    feed: EventFeed
    pace: Pace
    detector: Detector


@dataclass(frozen=True, slots=True)
class Parts:
    """All parts of the service."""

    settings: Settings
    limiter: ConnectionLimiter
    """Which connections are accepted, and what they may take."""
    encryption: Encryption
    path: FramePath
    governor: Governor
    canary: Canary
    folder: StateFolder | None
    activation: Activation
    rebuild: Rebuild
    changes: Changes
    reloads: Reload
    spare: Spare
    watch: Watch
    roster_keeper: RosterKeeper
    vitals: Vitals
    links: Links
    entrance: Entrance
    tail: LogTail
    restart: asyncio.Event
    """Set to have the service stop and start again."""
    app: web.Application


def build(given: Given, loaded: Loaded) -> Parts:
    """All parts, wired together."""
    settings, clock = given.settings, given.clock
    limiter = ConnectionLimiter(from_settings.ingress_limits(settings), clock)
    known = loading.known_costs(settings, loaded.network)
    policy = from_settings.governor_policy(settings, loaded.network, known)
    path = _frame_path(given, loaded, limiter, policy, known)
    detector = path.detector
    governor = _governor(given, policy, detector)
    canary = _canary(given, detector, failed=lambda: recompile.run())
    folder = from_settings.state_folder(settings)
    roster = Roster(roster_file.load(folder), now_s=clock(), forget_after_s=settings.state.forget_cameras_s)

    # What may change while it runs.
    encryption, entrance = Encryption(settings), _entrance(settings, path, clock)
    areas = DrawnAreas(folder, settings, lambda name: name in roster)
    changes = _changes(settings, entrance, encryption, limiter, path, governor, roster, areas)
    built_ahead = registry.is_built_ahead(given.written.engine.kind)
    reloads = Reload(given.written, read=given.read, apply=changes.reload, built_ahead=built_ahead)
    activation = _activation(given, path)
    rebuild = Rebuild(detector=detector, activate=activation.activate)
    recompile = Recompile(
        detector=detector, activate=lambda name: activation.activate(name, bounds=None, chosen=False), clock=clock
    )
    activation.on_swap(changes.network_swapped)
    activation.on_swap(rebuild.network_swapped)

    # What it knows about itself, and the way in.
    spare, watch = Spare(clock), _watch(folder, clock)
    vitals = _vitals(given, path, governor, canary, watch, roster, starts.count(folder))
    links = linking.build_links(settings, path.feed, path.book, vitals, _commands(governor, canary), clock)
    vitals.notices = lambda: _notices(
        given, reloads, rebuild, activation, spare, encryption, links, areas, path, entrance
    )
    vitals.tls = encryption.state
    tail, restart = LogTail(), asyncio.Event()
    service = _service_handles(given, detector, governor, canary, changes, reloads, restart)
    offered = _offered(given, activation, service, areas, path, governor, vitals, tail, entrance)
    return Parts(
        settings=settings,
        limiter=limiter,
        encryption=encryption,
        path=path,
        governor=governor,
        canary=canary,
        folder=folder,
        activation=activation,
        rebuild=rebuild,
        changes=changes,
        reloads=reloads,
        spare=spare,
        watch=watch,
        roster_keeper=RosterKeeper(roster, folder, clock=clock, wall_clock=time.time),
        vitals=vitals,
        links=links,
        entrance=entrance,
        tail=tail,
        restart=restart,
        app=_way_in(settings, clock, entrance, encryption, path, vitals, offered, areas),
    )


def _entrance(settings: Settings, path: FramePath, clock: Clock) -> Entrance:
    access = Access(from_settings.access_rules(settings))
    return Entrance(access, from_settings.state_dir(settings), path.publisher, path.connections, clock)


def _offered(
    given: Given,
    activation: Activation,
    service: ServiceHandles,
    areas: DrawnAreas,
    path: FramePath,
    governor: Governor,
    vitals: Vitals,
    tail: LogTail,
    entrance: Entrance,
) -> Actions:
    """What the page offers to do."""
    models = ModelVerbs(activation, Path(given.settings.model.dir), given.written.model.name)
    return Actions(
        models,
        service,
        areas,
        entrance.token_verbs,
        detector=path.detector,
        governor=governor,
        vitals=vitals,
        tail=tail,
        audit=entrance.audit,
        erasure=Erasure(from_settings.state_dir(given.settings)),
    )


def _service_handles(
    given: Given,
    detector: Detector,
    governor: Governor,
    canary: Canary,
    changes: Changes,
    reloads: Reload,
    restart: asyncio.Event,
) -> ServiceHandles:
    async def reload() -> str | None:
        if not changes.working.is_set():
            given.reload.set()  # another try to start
            return None
        await reloads.once()
        return reloads.problem

    return ServiceHandles(
        prove=canary.prove,
        ask=detector.ask,
        reload=reload,
        working=changes.working.is_set,
        restart=restart.set,
        temp_c=lambda: governor.reading.thermal.soc_temp_c if governor.reading else None,
        clock=given.clock,
    )


def _changes(
    settings: Settings,
    entrance: Entrance,
    encryption: Encryption,
    limiter: ConnectionLimiter,
    path: FramePath,
    governor: Governor,
    roster: Roster,
    areas: DrawnAreas,
) -> Changes:
    return Changes(
        settings,
        entrance=entrance,
        encryption=encryption,
        limiter=limiter,
        book=path.book,
        detector=path.detector,
        governor=governor,
        roster=roster,
        feed=path.feed,
        areas=areas,
    )


def in_safe_mode(problem: ConfigError) -> ConfigError:
    """Why no frame is processed, for cameras."""
    return ConfigError(f"invalid settings: {problem}", "safe_mode")


def _frame_path(
    given: Given, loaded: Loaded, limiter: ConnectionLimiter, policy: Policy | None, known: DeviceProfile | None
) -> FramePath:
    settings, clock = given.settings, given.clock
    admission = Admission(Room())
    book = CameraBook(policies=from_settings.camera_policies(settings), burst=settings.flow.burst)
    socket_server = make_server(from_settings.socket_options(settings))
    transport = Transport(socket_server, limiter)
    emit, backlog = delivery_through(socket_server)
    publisher = Publisher(emit=emit, backlog=backlog, keep_pictures=settings.server.keep_pictures)
    feed = EventFeed(from_settings.event_rules(settings), pictures_allowed=settings.server.keep_pictures, clock=clock)
    feed.add(publisher.post_event)
    pace = Pace(
        book,
        limits=from_settings.full_limits(settings) if policy is None else policy.ladder.steps[0].limits,
        announce=publisher.announce,
        jpeg_quality=settings.flow.jpeg_quality,
        clock=clock,
    )
    loading.learn_first_cost(settings, loaded.network, known, pace)
    return FramePath(
        admission=admission,
        book=book,
        socket_server=socket_server,
        transport=transport,
        connections=Connections(socket_server),
        publisher=publisher,
        feed=feed,
        pace=pace,
        detector=_detector(given, loaded, admission, book, pace, _publish_to(publisher, feed)),
    )


def _governor(given: Given, policy: Policy | None, detector: Detector) -> Governor:
    settings = given.settings
    return Governor(
        sensors=MachineSensors(disk=from_settings.disk(settings), clock=given.clock),
        policy=policy,
        full=from_settings.full_limits(settings),
        apply=detector.apply,
        clock=given.clock,
        cap=ClockHelper(clock=given.clock),
    )


def _canary(given: Given, detector: Detector, failed: Callable[[], Awaitable[None]]) -> Canary:
    return Canary(
        ask=detector.ask,
        idle=lambda: detector.in_flight == 0,
        classes=lambda: detector.network.info.classes if detector.network else (),
        clock=given.clock,
        most=lambda: given.settings.model.max_detections,
        failed=failed,
    )


def _watch(folder: StateFolder | None, clock: Clock) -> Watch:
    past = history_file.load(folder)
    recorder = Recorder(History(past.rows), latency_bounds_s=LATENCY_BOUNDS_S, clock=_uptime, wall_clock=time.time)
    return Watch(past, recorder, clock=clock)


def _vitals(
    given: Given,
    path: FramePath,
    governor: Governor,
    canary: Canary,
    watch: Watch,
    roster: Roster,
    restarts: int | None,
) -> Vitals:
    settings, publisher = given.settings, path.publisher
    return Vitals(
        detector=path.detector,
        pace=path.pace,
        book=path.book,
        governor=governor,
        canary=canary,
        watch=watch,
        roster=roster,
        restarts=restarts,
        board=board.identify(),
        thresholds=Thresholds(
            settings.governor.critical_temp_c, settings.governor.min_available_bytes, settings.flow.deadline_s
        ),
        clock=given.clock,
        delivery=lambda: Delivery(len(publisher), publisher.dropped),
    )


def _publish_to(publisher: Publisher, feed: EventFeed) -> Publish:
    def publish(frame: Frame, outcome: Outcome) -> None:
        publisher.publish(frame, outcome)
        feed.note(frame, outcome)  # afterwards: the result does not wait for events

    return publish


def _detector(
    given: Given, loaded: Loaded, admission: Admission, book: CameraBook, pace: Pace, publish: Publish
) -> Detector:
    settings, clock, network = given.settings, given.clock, loaded.network
    return Detector(
        inference=loading.inference_of(settings, network, clock, admission, given.decoder) if network else None,
        model_error=loaded.error,
        mailboxes=Mailboxes(
            max_cameras=settings.flow.max_waiting,
            max_bytes=settings.flow.max_waiting_bytes,
            max_age_s=settings.flow.max_age_s,
            clock=clock,
        ),
        cache=from_settings.answer_cache(settings, clock),
        book=book,
        pace=pace,
        publish=publish,
        clock=clock,
        slow_frame_s=settings.flow.slow_frame_s,
        deadline_s=settings.flow.deadline_s,
    )


def _activation(given: Given, path: FramePath) -> Activation:
    settings = given.settings

    def load_other(name: str) -> Inference:
        """Another model, with the settings that this process started with."""
        if given.problem is not None:
            raise ModelError(str(in_safe_mode(given.problem)), active.NOT_ACTIVATED)
        network = given.load(loading.with_model(settings, name))
        return loading.inference_of(settings, network, given.clock, path.admission, given.decoder)

    return Activation(
        detector=path.detector,
        load=load_other,
        max_side=settings.flow.max_side,
        clock=given.clock,
        room_bytes=Room(),
    )


def _commands(governor: Governor, canary: Canary) -> Commands:
    """What may be ordered over MQTT, where that is allowed."""

    async def release_governor() -> None:
        governor.release()

    async def self_test() -> None:
        await canary.prove()

    return {"release_governor": release_governor, "self_test": self_test}


def _notices(
    given: Given,
    reloads: Reload,
    rebuild: Rebuild,
    activation: Activation,
    spare: Spare,
    encryption: Encryption,
    links: Links,
    areas: DrawnAreas,
    path: FramePath,
    entrance: Entrance,
) -> Notices:
    stays, network = rebuild.problem, path.detector.network
    classes = network.info.classes if network else None
    return Notices(
        safe_mode=str(given.problem) if given.problem else None,
        config_not_reloaded=reloads.problem,
        engine_stand_in=rebuild.stand_in,
        engine_problem=stays.why if stays else None,
        engine_built=stays.built if stays else False,
        activation_error=activation.error,
        part_failed=spare.problem,
        certificate=encryption.notice(),
        unknown_classes=()
        if classes is None
        else from_settings.unknown_classes(areas.settings, areas.by_camera, classes),
        mqtt_problem=links.mqtt_problem,
        webhook_problem=links.webhook_problem,
        access=entrance.notices(),
    )


def _way_in(
    settings: Settings,
    clock: Clock,
    entrance: Entrance,
    encryption: Encryption,
    path: FramePath,
    vitals: Vitals,
    offered: Actions,
    areas: DrawnAreas,
) -> web.Application:
    """Socket.IO, HTTP and the page."""
    server, authenticator = settings.server, entrance.authenticator
    parser = from_settings.frame_parser(settings, clock, path.book.view_of)
    SocketEvents(
        path.socket_server,
        options=from_settings.socket_options(settings),
        arrivals=entrance.arrivals,
        parser=parser,
        detector=path.detector,
        book=path.book,
        pace=path.pace,
        publisher=path.publisher,
        connections=path.connections,
        refusals=RefusalThrottle(clock),
        feed=path.feed,
    )
    page = Page()
    respond = Respond(compression=server.compression, compression_min_bytes=server.compression_min_bytes)
    return make_app(
        socket_server=path.socket_server,
        publisher=path.publisher,
        event_picture=path.feed.pictures.get,
        routes=[
            *page.routes(),
            *health_routes.routes(vitals, respond, page, authenticator.access),
            *page_actions.routes(offered, respond),
            *area_routes.routes(areas.report, respond),
            *metrics.routes(vitals),
            *security_txt.routes(server.security_contact),
            *VisionApi(path.detector, parser, respond, authenticator).routes(),
            *session.routes(authenticator, entrance.audit, respond),
        ],
        respond=respond,
        authenticator=authenticator,
        websocket_deflate=server.websocket_deflate,
        connections=path.connections,
        door=encryption.door,
    )


def _uptime() -> float:
    """Seconds since the machine started, including suspend: waking up is no clock change."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
