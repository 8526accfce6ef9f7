"""Build what the device knows about itself: governor, self-test, history, and the state behind `/health`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from appliance.device import board
from appliance.device.clock_cap import ClockHelper
from appliance.device.sensors.machine import MachineSensors
from appliance.device.state import StateFolder
from appliance.flow.detector import Detector
from appliance.flow.tally import LATENCY_BOUNDS_S
from appliance.governor.service import Governor
from appliance.governor.targets import Policy
from appliance.health import history_file
from appliance.health.canary import Canary
from appliance.health.facts import Cause, Notices, SupportNotices, Thresholds
from appliance.health.history import History
from appliance.health.recorder import Recorder
from appliance.health.roster import Roster
from appliance.health.watch import Watch
from appliance.ports import Clock, Offloads
from appliance.service import from_settings
from appliance.service.drawn_areas import DrawnAreas
from appliance.service.parts import FramePath, Given, Parts
from appliance.settings.schema.server import ServerSettings
from appliance.vitals.collect import Vitals
from appliance.vitals.snapshot import Delivery


def build_governor(given: Given, policy: Policy | None, detector: Detector) -> Governor:
    settings = given.settings
    return Governor(
        sensors=MachineSensors(root=given.root, disk=from_settings.disk(settings), clock=given.clock),
        policy=policy,
        full=from_settings.full_limits(settings),
        apply=detector.apply,
        clock=given.clock,
        cap=ClockHelper(clock=given.clock),
        frame_ms=detector.in_use.frame_costs.ms,
        engine_busy=detector.in_use.take_busy,
    )


def build_canary(given: Given, detector: Detector, failed: Callable[[], Awaitable[None]]) -> Canary:
    return Canary(
        ask=detector.ask,
        idle=lambda: detector.in_flight == 0,
        classes=lambda: detector.network.info.classes if detector.network else (),
        clock=given.clock,
        most=lambda: given.settings.model.max_detections,
        failed=failed,
    )


def build_watch(folder: StateFolder | None, clock: Clock) -> Watch:
    past = history_file.load(folder)
    recorder = Recorder(History(past.rows), latency_bounds_s=LATENCY_BOUNDS_S, clock=_uptime, wall_clock=time.time)
    return Watch(past, recorder, clock=clock)


def build_vitals(
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


def notices(given: Given, parts: Parts, areas: DrawnAreas) -> Notices:
    stays, network = parts.rebuild.problem, parts.path.detector.network
    classes = network.info.classes if network else None
    return Notices(
        safe_mode=str(given.problem) if given.problem else None,
        config_not_reloaded=parts.reloads.problem,
        engine_stand_in=parts.rebuild.stand_in,
        engine_problem=stays.why if stays else None,
        engine_built=stays.built if stays else False,
        server_away=network.engine.problem if network and isinstance(network.engine, Offloads) else None,
        activation_error=Cause.of(parts.activation.error) if parts.activation.error else None,
        part_failed=parts.spare.problem,
        certificate=parts.encryption.notice(),
        unknown_classes=()
        if classes is None
        else from_settings.unknown_classes(areas.settings, areas.by_camera, classes),
        mqtt_problem=parts.links.mqtt_problem,
        webhook_problems=parts.links.webhook_problems,
        access=parts.entrance.notices(),
        support=support(given.settings.server, time.time()) if parts.entrance.exposed else SupportNotices(),
        update=parts.news.notices(),
        site=parts.site.notices(),
    )


def support(server: ServerSettings, now_s: float) -> SupportNotices:
    """What is missing of the statements on support, and whether it has ended. Months compare as text."""
    stated = {"server.security_contact": server.security_contact, "server.supported_until": server.supported_until}
    month = time.strftime("%Y-%m", time.gmtime(now_s))
    ended = server.supported_until if "" < server.supported_until < month else ""
    return SupportNotices(tuple(name for name, value in stated.items() if not value), ended)


def _uptime() -> float:
    """Seconds since the machine started, including suspend: waking up is no clock change."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
