"""Build the ways in: Socket.IO, HTTP, the page and its actions, and what may be ordered over MQTT."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from appliance.control.models import ModelVerbs
from appliance.control.service import ServiceHandles
from appliance.device.erasure import Erasure
from appliance.device.log_tail import LogTail
from appliance.flow.activation import Activation
from appliance.flow.detector import Detector
from appliance.governor.service import Governor
from appliance.health.canary import Canary
from appliance.identity.audit import Audit
from appliance.links.links import Links
from appliance.links.mqtt import documented
from appliance.links.mqtt.link import Commands
from appliance.ports import Clock
from appliance.service import from_settings
from appliance.service.actions import Actions
from appliance.service.changes import Changes
from appliance.service.drawn_areas import DrawnAreas
from appliance.service.encryption import Encryption
from appliance.service.entrance import Entrance
from appliance.service.parts import FramePath, Given
from appliance.service.reload import Reload
from appliance.service.site import Site
from appliance.service.update_news import UpdateNews
from appliance.settings.schema import Settings
from appliance.vitals.collect import Vitals
from appliance.web import actions as page_actions
from appliance.web import api_documents, detect, metrics, security_txt, session
from appliance.web import areas as area_routes
from appliance.web import health as health_routes
from appliance.web import site as site_routes
from appliance.web.access import Access
from appliance.web.app import make_app
from appliance.web.asyncapi import Topic
from appliance.web.http_cameras import HttpCameras
from appliance.web.http_frames import HttpFrames
from appliance.web.kserve import Kserve
from appliance.web.page_files import Page
from appliance.web.refusals import RefusalThrottle
from appliance.web.respond import Respond
from appliance.web.socket_events import SocketEvents
from appliance.web.vision_api import VisionApi

MQTT_COMMANDS = ("release_governor", "self_test", "install_update")
"""The last one only where updates can be installed."""


def build_entrance(settings: Settings, path: FramePath, audit: Audit, clock: Clock) -> Entrance:
    access = Access(from_settings.access_rules(settings))
    return Entrance(access, from_settings.state_dir(settings), path.publisher, path.connections, audit, clock)


def build_socket_events(settings: Settings, clock: Clock, entrance: Entrance, path: FramePath) -> SocketEvents:
    return SocketEvents(
        path.socket_server,
        options=from_settings.socket_options(settings),
        arrivals=entrance.arrivals,
        parser=from_settings.frame_parser(settings, clock, path.book.view_of),
        detector=path.detector,
        book=path.book,
        pace=path.pace,
        publisher=path.publisher,
        connections=path.connections,
        refusals=RefusalThrottle(clock),
        feed=path.feed,
    )


def build_app(
    settings: Settings,
    clock: Clock,
    entrance: Entrance,
    encryption: Encryption,
    path: FramePath,
    vitals: Vitals,
    offered: Actions,
    areas: DrawnAreas,
    site: Site,
) -> web.Application:
    """HTTP and the page, around Socket.IO."""
    server, authenticator = settings.server, entrance.authenticator
    parser = from_settings.frame_parser(settings, clock, path.book.view_of)
    page = Page()
    respond = Respond(compression=server.compression, compression_min_bytes=server.compression_min_bytes)
    http_cameras = HttpCameras(authenticator, lambda name: bool(path.publisher.clients_of(name)), clock)
    frames = HttpFrames(path.detector, parser, respond, http_cameras)
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
            *security_txt.routes(server.security_contact, server.supported_until),
            *VisionApi(frames).routes(),
            *detect.routes(frames),
            *Kserve(frames, vitals.ready).routes(),
            *site_routes.routes(site.report, respond),
            *session.routes(authenticator, entrance.audit, respond),
            *api_documents.routes(offered.requests(), _topics(), respond),
        ],
        respond=respond,
        authenticator=authenticator,
        websocket_deflate=server.websocket_deflate,
        connections=path.connections,
        door=encryption.door,
    )


def _topics() -> list[Topic]:
    """The topics of MQTT, whether or not a broker is set."""
    return [Topic(*one) for one in documented.described(MQTT_COMMANDS)]


def build_actions(
    given: Given,
    activation: Activation,
    service: ServiceHandles,
    areas: DrawnAreas,
    path: FramePath,
    governor: Governor,
    vitals: Vitals,
    tail: LogTail,
    entrance: Entrance,
    for_support: Callable[[], Awaitable[bytes]],
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
        for_support=for_support,
        erasure=Erasure(from_settings.state_dir(given.settings)),
        safe_mode=given.problem is not None,
    )


def service_handles(
    given: Given,
    detector: Detector,
    governor: Governor,
    canary: Canary,
    changes: Changes,
    reloads: Reload,
    restart: asyncio.Event,
    links: Links,
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
        check=given.read,
        reload=reload,
        working=changes.working.is_set,
        restart=restart.set,
        temp_c=lambda: governor.reading.thermal.soc_temp_c if governor.reading else None,
        network=lambda: detector.network,
        clock=given.clock,
        broker=links.broker,
        try_mqtt=links.mqtt.try_out if links.mqtt else None,
    )


def mqtt_commands(governor: Governor, canary: Canary, news: UpdateNews) -> Commands:
    """What may be ordered over MQTT, where that is allowed."""

    async def release_governor() -> None:
        governor.release()

    async def self_test() -> None:
        await canary.prove()

    async def install_update() -> None:
        news.request()

    installs = {"install_update": install_update} if news.possible else {}
    return {"release_governor": release_governor, "self_test": self_test, **installs}
