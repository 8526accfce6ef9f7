"""Turn the settings into what each part of the service needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import msgspec

from appliance import camera_names
from appliance.control.page_requests import CameraAreas
from appliance.device import state
from appliance.device.profile import DeviceProfile
from appliance.events.objects import EventRules
from appliance.flow.cache import Cache
from appliance.flow.cameras import CameraPolicy, Follower
from appliance.flow.inference import Network
from appliance.governor.ladder import make_ladder
from appliance.governor.targets import Policy
from appliance.ports import Clock
from appliance.settings.schema import Settings
from appliance.settings.schema.camera import CameraSettings
from appliance.settings.schema.governor import GovernorSettings
from appliance.tls.server import TlsRules
from appliance.values import FULL_VIEW, CameraZone, ClassFilter, Limits, Size, View
from appliance.vision.decoder import Decoder, OwnThread
from appliance.vision.isolation.parent import IsolatedDecoder
from appliance.vision.view import EVERY_CLASS, make_view
from appliance.web.access import AccessRules
from appliance.web.clients import is_local, networks
from appliance.web.frame_parser import FrameParser
from appliance.web.ingress.limits import IngressLimits, raise_file_limit
from appliance.web.socket_server import TRANSPORT_FACTOR, SocketOptions

USUAL_IMAGE = Size(1280, 720)
"""What most cameras send."""


def answer_cache(settings: Settings, clock: Clock) -> Cache | None:
    """The exact cache; None: switched off."""
    cache = settings.cache
    if not cache.enabled:
        return None
    return Cache(entries=cache.entries, max_bytes=cache.max_bytes, ttl_s=cache.ttl_s, clock=clock)


def state_folder(settings: Settings) -> state.StateFolder | None:
    """The folder that the history is kept in; None: it is not kept."""
    if not settings.state.history:
        return None
    return state.open_folder(state_dir(settings))


def state_dir(settings: Settings) -> Path:
    """Where the service keeps its state."""
    return Path(settings.state.dir) if settings.state.dir else state.default_dir(os.environ)


def disk(settings: Settings) -> Path:
    """The file system to watch for free space and wear: the one with the state. Models may be on a read-only one."""
    folder = state_dir(settings)
    return folder if folder.is_dir() else Path(settings.model.dir)


def full_limits(settings: Settings) -> Limits:
    """The limits of a cool device."""
    return Limits(settings.flow.max_side, settings.flow.min_interval_s, max_in_flight=8)


def useful_detail(settings: Settings) -> int:
    """Longest useful side of a picture, relative to the network's input: 1920 px at 640 where crops show it."""
    return 3 if settings.flow.crops == "auto" else 1


def governor_policy(settings: Settings, network: Network | None, known: DeviceProfile | None) -> Policy | None:
    """Targets and ladder; None: the governor is switched off."""
    governor = settings.governor
    if not governor.enabled:
        return None
    full = full_limits(settings)
    smallest = network.sizes.best(USUAL_IMAGE, 64) if network is not None else None
    ladder = make_ladder(
        full,
        known,
        one_size=network is not None and smallest == network.sizes.best(USUAL_IMAGE, full.max_side),
        priorities=any(camera.priority > 0 for camera in settings.cameras.values()),
    )
    return Policy(
        governor.target_temp_c, governor.critical_temp_c, governor.min_available_bytes, ladder,
        follow_board=governor.target_temp_c == GovernorSettings().target_temp_c,
        lowest_clock_percent=governor.lowest_clock_percent,
    )  # fmt: skip


def camera_policies(settings: Settings) -> dict[str, CameraPolicy]:
    """The settings of each camera by name."""
    return {
        camera_names.normal(name) or name: CameraPolicy(
            camera.weight, camera.priority, camera.min_interval_s, camera.picture_health
        )
        for name, camera in settings.cameras.items()
    }


def camera_views(settings: Settings, drawn: Mapping[str, CameraAreas]) -> dict[str, View]:
    """What is reported of each camera's pictures. `drawn`: the areas that were drawn on the page, by camera."""
    named = {camera_names.normal(name) or name: camera for name, camera in settings.cameras.items()}
    return {name: camera_view(named.get(name, CameraSettings()), drawn.get(name)) for name in {*named, *drawn}}


def camera_view(camera: CameraSettings, drawn: CameraAreas | None) -> View:
    """What is reported of a camera's pictures. The areas of its settings come first."""
    zones = {name: (zone.points, zone.classes) for name, zone in camera.zones.items()}
    masks = {name: mask.points for name, mask in camera.masks.items()}
    if drawn is not None:
        zones = {name: (zone.points, zone.classes) for name, zone in drawn.zones.items()} | zones
        masks = dict(drawn.masks) | masks
    return make_view(
        zones=[CameraZone(name, points, frozenset(classes) or None) for name, (points, classes) in zones.items()],
        masks=list(masks.values()),
        classes=camera.classes,
        filters={name: ClassFilter(**msgspec.structs.asdict(limits)) for name, limits in camera.filters.items()},
    )


def unknown_classes(settings: Settings, drawn: Mapping[str, CameraAreas], classes: Collection[str]) -> tuple[str, ...]:
    """The classes that filters and zones of cameras name and the model does not have."""
    named: set[str] = set()
    for camera in settings.cameras.values():
        named.update(camera.classes, camera.filters.keys() - {EVERY_CLASS})
        named.update(*(zone.classes for zone in camera.zones.values()))
    for areas in drawn.values():
        named.update(*(zone.classes for zone in areas.zones.values()))
    return tuple(sorted(named - set(classes)))


def event_rules(settings: Settings) -> EventRules | None:
    """When an object starts and ends; None: events are off."""
    events = settings.events
    if not events.enabled:
        return None
    return EventRules(events.on_delay_s, events.off_delay_s, events.update_s, events.min_confidence)


def new_tracks(settings: Settings, clock: Clock) -> Callable[[], Follower] | None:
    """Makes what follows the objects of a camera; None: tracks are off, and their code is not loaded."""
    if not settings.flow.tracks:
        return None
    from appliance.flow.tracks import Tracks

    return Tracks(settings.flow.track_memory_s, clock=clock).camera


def access_rules(settings: Settings) -> AccessRules:
    """Who is let in."""
    server = settings.server
    return AccessRules(
        viewer_token=server.viewer_token,
        api_key=server.api_key,
        require_token=server.require_token,
        max_connections=server.max_connections,
        allowed_hosts=(*server.allowed_hosts, server.host),
        cors_origins=server.cors_origins,
        proxies=networks(server.trusted_proxies),
        camera_tokens={
            camera_names.normal(name) or name: camera.token for name, camera in settings.cameras.items() if camera.token
        },
        auth=settings.access.auth == "on",
        trust_loopback=settings.access.loopback == "operator",
        health=settings.access.health,
        metrics=settings.access.metrics,
        name_taken=settings.access.name_taken,
        pairing=settings.access.pairing,
    )


def decoder(settings: Settings) -> Decoder:
    """Where images are decoded. A process starts at once, so that it is ready when the model is."""
    if settings.flow.decoder == "thread":
        return OwnThread()
    return IsolatedDecoder(
        max_frame_bytes=settings.server.max_frame_bytes,
        max_side=settings.flow.max_side,
        max_pixels=settings.flow.max_pixels,
        decodes_within_s=settings.flow.deadline_s / 2,
    )


def tls_rules(settings: Settings) -> TlsRules:
    """Whether to serve HTTPS, and with which certificate. On a loopback address only where a certificate is given."""
    tls = settings.tls
    given = bool(tls.certificate and tls.key)
    return TlsRules(
        enabled=tls.enabled and (given or not is_local(settings.server.host or "0.0.0.0")),
        certificate=Path(tls.certificate) if given else None,
        key=Path(tls.key) if given else None,
    )


def own_certificate_folder(settings: Settings) -> Path:
    """Where the device keeps the certificate that it makes for itself."""
    return state_dir(settings) / "tls"


def ingress_limits(settings: Settings) -> IngressLimits:
    """Limits of connections, within the number of files that this process may open."""
    server = settings.server
    longest = server.max_frame_bytes * TRANSPORT_FACTOR
    return IngressLimits(
        max_open=raise_file_limit(2 * server.max_connections + 256),
        max_per_address=server.max_connections_per_address,
        max_unfinished_bytes=max(server.max_unfinished_bytes, 2 * longest),
        header_timeout_s=server.header_timeout_s,
        message_timeout_s=server.message_timeout_s,
        idle_timeout_s=server.idle_timeout_s,
        max_message_bytes=longest,
    )


def frame_parser(
    settings: Settings, clock: Clock, view_of: Callable[[str], View] = lambda camera: FULL_VIEW
) -> FrameParser:
    """The reader of frames from clients, with its bounds."""
    return FrameParser(
        settings.server.max_frame_bytes, settings.flow.max_pixels, settings.model.min_confidence, clock, view_of
    )


def socket_options(settings: Settings) -> SocketOptions:
    """Options of the Socket.IO server."""
    server = settings.server
    return SocketOptions(
        ping_interval_s=server.ping_interval_s,
        ping_timeout_s=server.ping_timeout_s,
        max_frame_bytes=server.max_frame_bytes,
        compression=server.compression,
        compression_min_bytes=server.compression_min_bytes,
        names_sessions=settings.site.agent_port > 0,
    )
