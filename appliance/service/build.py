"""Build the service: every part, each handed only what it uses. Nothing runs yet.

Read `build` from top to bottom: the way of a frame, heat and health, what may change while it runs, what it knows about
itself, the way in. A part gets what it calls when it is built; `_connect` has the calls for which that is too early.
"""

from __future__ import annotations

import asyncio
import time

from appliance.engines import registry
from appliance.flow.activation import Activation
from appliance.flow.rebuild import Rebuild
from appliance.flow.recompile import Recompile
from appliance.governor.service import Governor
from appliance.health import roster_file
from appliance.health.roster import Roster
from appliance.health.roster_file import RosterKeeper
from appliance.service import from_settings, linking, loading, starts
from appliance.service.changes import Changes
from appliance.service.drawn_areas import DrawnAreas
from appliance.service.encryption import Encryption
from appliance.service.entrance import Entrance
from appliance.service.frame_path import build_activation, build_frame_path
from appliance.service.parts import FramePath, Given, Loaded, Parts
from appliance.service.reload import Reload
from appliance.service.reports import hand_over, reports
from appliance.service.self_knowledge import build_canary, build_governor, build_vitals, build_watch, notices
from appliance.service.site import build_site
from appliance.service.spare import Spare
from appliance.service.update_news import UpdateNews
from appliance.service.way_in import (
    build_actions,
    build_app,
    build_entrance,
    build_socket_events,
    mqtt_commands,
    service_handles,
)
from appliance.settings.schema import Settings
from appliance.update.places import UpdatePlaces
from appliance.web.handover import passes_on
from appliance.web.ingress.limiter import ConnectionLimiter
from appliance.web.socket_events import SocketEvents


def build(given: Given, loaded: Loaded) -> Parts:
    """All parts, wired together."""
    settings, clock = given.settings, given.clock
    limiter = ConnectionLimiter(from_settings.ingress_limits(settings), clock)
    known = loading.known_costs(settings, loaded.network)
    policy = from_settings.governor_policy(settings, loaded.network, known)
    path = build_frame_path(given, loaded, limiter, policy, known)
    detector, governor = path.detector, build_governor(given, policy, path.detector)
    activation, rebuild, recompile = _networks(given, path)
    canary = build_canary(given, detector, failed=recompile.run)
    folder = from_settings.state_folder(settings)
    roster = Roster(roster_file.load(folder), now_s=clock(), forget_after_s=settings.state.forget_cameras_s)

    # What may change while it runs.
    encryption, entrance = Encryption(settings), build_entrance(settings, path, given.memory.audit, clock)
    areas = DrawnAreas(folder, settings, lambda name: name in roster)
    changes = _changes(settings, entrance, encryption, limiter, path, governor, roster, areas)
    built_ahead = registry.is_built_ahead(given.written.engine.kind)
    reloads = Reload(given.written, read=given.read, apply=changes.reload, built_ahead=built_ahead)

    # What it knows about itself, and the way in.
    spare, watch, tail, restart = Spare(clock), build_watch(folder, clock), given.memory.tail, asyncio.Event()
    vitals = build_vitals(given, path, governor, canary, watch, roster, starts.count(folder))
    news = UpdateNews(settings.update, from_settings.state_dir(settings), time.time, UpdatePlaces())
    commands = mqtt_commands(governor, canary, news)
    links = linking.build_links(settings, path.feed, path.book, vitals, commands, folder, clock)
    site = build_site(settings, path, vitals, entrance, clock)
    service = service_handles(given, detector, governor, canary, changes, reloads, restart, links)
    own_reports = reports(vitals, lambda: changes.settings, tail, entrance.audit)
    offered = build_actions(
        given, activation, service, areas, path, governor, vitals, tail, entrance,
        for_support=lambda: hand_over(changes.settings, own_reports),
    )  # fmt: skip
    parts = Parts(
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
        news=news,
        site=site,
        entrance=entrance,
        tail=tail,
        reports=own_reports,
        restart=restart,
        app=build_app(settings, clock, entrance, encryption, path, vitals, offered, areas, site),
    )
    _connect(given, parts, build_socket_events(settings, clock, entrance, path), areas)
    return parts


def _connect(given: Given, parts: Parts, events: SocketEvents, areas: DrawnAreas) -> None:
    """Let parts call those that are built after them: every such line of the service.

    Without it, each part works by itself.
    """
    path, site, vitals = parts.path, parts.site, parts.vitals
    # A frame that comes too early is refused before it is unpacked.
    path.transport.is_early, path.transport.refuse_early = events.is_early, events.refuse_early
    # A connection that belongs to another device of the site is refused, and a result that another one wants sent on.
    if site.mover is not None:
        path.connections.passes_on = passes_on(parts.entrance.authenticator.access, site.mover.refuses)
    if site.exchange is not None:
        path.publisher.elsewhere = site.exchange.publish
    # Other areas, or another network, are put into force.
    areas.on_change = parts.changes.look_again
    parts.activation.on_swap(parts.changes.network_swapped)
    parts.activation.on_swap(parts.rebuild.network_swapped)
    # What the parts report is part of the state.
    vitals.notices = lambda: notices(given, parts, areas)
    vitals.tls, vitals.update = parts.encryption.state, parts.news.view


def _networks(given: Given, path: FramePath) -> tuple[Activation, Rebuild, Recompile]:
    """What replaces the network: a person's choice, an engine that was built meanwhile, a failed self-test."""
    activation = build_activation(given, path)
    rebuild = Rebuild(detector=path.detector, activate=activation.activate)
    recompile = Recompile(
        detector=path.detector,
        activate=lambda name: activation.activate(name, bounds=None, chosen=False),
        clock=given.clock,
    )
    return activation, rebuild, recompile


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
