"""What changes while cameras stay connected: settings, the model, its engine."""

from __future__ import annotations

import asyncio

from appliance.device import logs
from appliance.events.feed import EventFeed
from appliance.flow.cameras import CameraBook
from appliance.flow.detector import Detector
from appliance.governor.service import Governor
from appliance.health.roster import Roster
from appliance.service import from_settings, loading
from appliance.service.drawn_areas import DrawnAreas
from appliance.service.encryption import Encryption
from appliance.service.entrance import Entrance
from appliance.settings.schema import Settings
from appliance.web.ingress.limiter import ConnectionLimiter


class Changes:
    """Hands new settings and a new network on to the parts that depend on them."""

    def __init__(
        self,
        settings: Settings,
        *,
        entrance: Entrance,
        encryption: Encryption,
        limiter: ConnectionLimiter,
        book: CameraBook,
        detector: Detector,
        governor: Governor,
        roster: Roster,
        feed: EventFeed,
        areas: DrawnAreas,
    ) -> None:
        self.settings = settings
        """In force."""
        self._entrance, self._encryption, self._limiter, self._book = entrance, encryption, limiter, book
        self._detector, self._governor = detector, governor
        self._roster, self._feed, self._areas = roster, feed, areas
        self.look_again()
        self.working = asyncio.Event()
        """Set once there is a network: from then on a reload changes settings; before, it is another try to start."""
        if detector.network is not None:
            self.working.set()

    def reload(self, settings: Settings) -> None:
        """Put new settings into force, as far as they may change in a running service."""
        self.settings = settings
        self._entrance.follow(from_settings.access_rules(settings))
        self._encryption.follow(settings)
        self._limiter.limits = from_settings.ingress_limits(settings)
        self._book.follow(from_settings.camera_policies(settings))
        self.look_again()
        self._roster.forget_after_s = settings.state.forget_cameras_s
        self._feed.follow(from_settings.event_rules(settings))
        self._govern()
        logs.set_level(settings.log.level)

    def look_again(self) -> None:
        """The cameras' areas or filters have changed."""
        self._areas.settings = self.settings
        self._book.views = from_settings.camera_views(self.settings, self._areas.by_camera)

    def network_swapped(self) -> None:
        """Another network is in use: its costs and sizes make another ladder."""
        self.working.set()
        self._govern()

    def _govern(self) -> None:
        settings, network = self.settings, self._detector.network
        known = loading.known_costs(settings, network)
        self._governor.follow(
            from_settings.governor_policy(settings, network, known), from_settings.full_limits(settings)
        )
