"""Everything known about each camera: settings, rate, counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from appliance.camera_names import is_of_service
from appliance.flow.announcements import Announcements
from appliance.flow.cache import Key
from appliance.flow.camera_cost import CameraCost
from appliance.flow.obedience import Obedience
from appliance.flow.picture_watch import PictureWatch
from appliance.flow.rates import FrameRateLimiter, Rate
from appliance.flow.scene_gate import LastScene
from appliance.flow.tally import Tally
from appliance.values import (
    FULL_VIEW,
    CameraLimits,
    CameraStats,
    Detected,
    Failed,
    Outcome,
    Skipped,
    View,
    is_own_camera,
)

SENDING_S = 5.0
"""A camera counts as sending for this long after a frame, or three of its intervals if that is longer."""

_SMOOTH = 0.1
_FORGET_S = 60.0
_MOST_SCENES = 64
"""Absent cameras of which the scene gate remembers what it has learned, 90 kB each."""
_MOST_TRACKED = 64
"""Absent cameras whose objects are remembered, for a minute."""
_MOST_PICTURES = 256
"""Cameras whose usual view is remembered, 30 kB each."""


@dataclass(frozen=True, slots=True)
class CameraPolicy:
    """One camera's settings."""

    weight: float = 1.0
    priority: int = 0
    min_interval_s: float = 0.0
    picture_health: bool = True
    """Report a covered, turned, blurred … camera."""


class Follower(Protocol):
    """Follows the objects of one camera."""

    def follow(self, answer: Detected, at_s: float) -> Detected:
        """The answer to a frame that came at `at_s`, with the track of each detection."""

    def predicted(self, at_s: float) -> Detected | None:
        """What the camera probably shows at `at_s`; None: nobody knows."""

    def close(self) -> None:
        """Forget all objects: the camera has left, or its objects begin again."""


@dataclass(slots=True)
class Camera:
    """One camera's state. Only the event loop uses it."""

    policy: CameraPolicy
    rate_limiter: FrameRateLimiter
    own: bool = False
    """One of the service's own: it takes no share of the engine and appears in no report."""
    unnamed: bool = False
    """Its name is that of one connection: the camera cannot be recognised when it comes back."""
    announcements: Announcements = field(default_factory=Announcements)
    """The limits that were sent to it last, and whether it is sent others."""
    obedience: Obedience = field(default_factory=Obedience)
    """How its frames compare with the limits that were sent to it."""
    shown_s: float = float("-inf")
    """When a picture was last shown that was not processed."""
    fair_s: float | None = None
    """Its present share as an interval, s; None: it is not sending."""
    most_in_flight: int = 1000
    """Frames of this camera that may be in flight."""
    connections: int = 0
    last_frame_s: float | None = None
    cost: CameraCost = field(default_factory=CameraCost)
    picture: PictureWatch | None = None
    """Judges its pictures; None: switched off, or one of the service's own."""
    last_key: Key | None = None
    """Of its last frame in the exact cache, to notice a frozen picture."""
    last_scene: LastScene | None = None
    """For the scene gate."""
    tracks: Follower | None = None
    """Follows its objects; None: tracks are off, or its pictures are of several scenes."""
    one_view: bool = True
    """Its pictures are of one scene, so that the scene gate may compare them."""
    latency_ms: float | None = None
    received: int = 0
    answered: int = 0
    cached: int = 0
    failed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    received_rate: Rate = field(default_factory=Rate)
    answered_rate: Rate = field(default_factory=Rate)
    tally: Tally = field(default_factory=Tally)
    """The device's counters, which include this camera's frames."""

    @property
    def announced(self) -> CameraLimits | None:
        """The limits that were sent to it last; None: none."""
        return self.announcements.limits

    def arrived(self, now_s: float) -> None:
        self.received += 1
        self.tally.received += 1
        self.last_frame_s = now_s
        self.received_rate.tick(now_s)
        self.obedience.frame(now_s)

    def announce(self, limits: CameraLimits, now_s: float) -> None:
        """Record that these limits are being sent to it."""
        self.announcements.record(limits, now_s)
        self.obedience.announce(limits.min_interval_s, now_s)

    def obeys(self, now_s: float) -> bool:
        """Whether it was sent limits, and keeps to them."""
        return self.announced is not None and self.obedience.holds(now_s)

    def sending(self, now_s: float) -> bool:
        """Whether it counts when shares are computed."""
        if self.last_frame_s is None:
            return False
        interval = self.announced.min_interval_s if self.announced else 0.0
        return now_s - self.last_frame_s < max(SENDING_S, 3 * interval)

    def unusable(self) -> None:
        """Count an invalid frame."""
        self.failed += 1
        self.tally.failed += 1

    def outcome(self, outcome: Outcome, now_s: float) -> None:
        """Count the outcome of a frame."""
        self.tally.count(outcome)
        if isinstance(outcome, Detected):
            self.answered += 1
            self.answered_rate.tick(now_s)
            if outcome.cached:
                self.cached += 1
            total = outcome.timing.total_ms
            former = total if self.latency_ms is None else self.latency_ms
            self.latency_ms = former + _SMOOTH * (total - former)
        elif isinstance(outcome, Failed):
            self.failed += 1
        elif isinstance(outcome, Skipped):
            self.skipped[outcome.reason.value] += 1

    def stats(self, now_s: float, limits: CameraLimits) -> CameraStats:
        return CameraStats(
            received=self.received,
            answered=self.answered,
            cached=self.cached,
            failed=self.failed,
            skipped=dict(self.skipped),
            received_fps=round(self.received_rate.per_second(now_s), 2),
            answered_fps=round(self.answered_rate.per_second(now_s), 2),
            latency_ms=None if self.latency_ms is None else round(self.latency_ms, 1),
            limits=limits,
            picture_faults=self.picture.faults if self.picture is not None else (),
            gate=self.last_scene.evidence.stats(now_s) if self.one_view and self.last_scene is not None else None,
        )


class CameraBook:
    """All cameras by name: connected ones, and for a minute those that only used HTTP."""

    def __init__(
        self,
        *,
        policies: Mapping[str, CameraPolicy],
        burst: int,
        most: int = 5000,
        new_tracks: Callable[[], Follower] | None = None,
    ) -> None:
        self.policies = policies
        """The policies of the cameras that the settings name."""
        self.views: Mapping[str, View] = {}
        """What is reported of the cameras' pictures, where that is not everything."""
        self._burst, self._most, self._new_tracks = burst, most, new_tracks
        self._cameras: dict[str, Camera] = {}
        self._departed: dict[str, float] = {}
        self._pictures: dict[str, PictureWatch] = {}
        """What cameras usually show, also while they are away; the one that came last at the end."""
        self._scenes: dict[str, LastScene] = {}
        """What the scene gate has learned of cameras that are away; the one that left last at the end."""
        self._tracks: dict[str, tuple[Follower, float]] = {}
        """The objects of cameras that are away, and when the last frame came; the one that left last at the end."""
        self.tally = Tally()
        """Counters of all cameras, including disconnected ones, without the service's own."""

    def __iter__(self) -> Iterator[tuple[str, Camera]]:
        return iter(self._cameras.items())

    def __contains__(self, name: object) -> bool:
        return name in self._cameras

    def get(self, name: str) -> Camera | None:
        return self._cameras.get(name)

    def view_of(self, name: str) -> View:
        """What is reported of this camera's pictures."""
        return self.views.get(name, FULL_VIEW)

    def enter(self, name: str) -> Camera:
        """The camera of this name; created if necessary."""
        camera = self._cameras.get(name)
        if camera is None:
            if len(self._cameras) >= self._most:
                loose = next((other for other, known in self._cameras.items() if known.connections <= 0), None)
                if loose is not None:
                    self._remove(loose)
            own = is_own_camera(name)
            tally = Tally() if own else self.tally
            camera = Camera(
                self.policies.get(name, CameraPolicy()), FrameRateLimiter(self._burst), own=own, tally=tally
            )
            camera.one_view = not is_of_service(name)
            camera.picture = self._picture(name, camera)
            camera.last_scene = self._scenes.pop(name, None)
            if self._new_tracks is not None and camera.one_view:
                kept = self._tracks.pop(name, None)
                camera.tracks = kept[0] if kept is not None else self._new_tracks()
            self._cameras[name] = camera
        return camera

    def follow(self, policies: Mapping[str, CameraPolicy]) -> None:
        """Apply new settings, also to known cameras."""
        self.policies = policies
        for name, camera in self:
            camera.policy = policies.get(name, CameraPolicy())
            camera.picture = self._picture(name, camera)

    def leave(self, name: str) -> None:
        """Unregister one connection of a camera."""
        camera = self._cameras.get(name)
        if camera is not None:
            camera.connections -= 1
            if camera.connections <= 0:
                self._remove(name)

    def forget_silent(self, now_s: float) -> None:
        """Drop cameras without a connection that have been silent for a minute, and the objects of those that left."""
        silent = [
            name
            for name, camera in self._cameras.items()
            if camera.connections <= 0 and now_s - (camera.last_frame_s or 0.0) > _FORGET_S
        ]
        for name in silent:
            self._remove(name)
        for name in [name for name, (_, last_s) in self._tracks.items() if now_s - last_s > _FORGET_S]:
            self._tracks.pop(name)[0].close()

    def take_departed(self) -> dict[str, float]:
        """Cameras that have left since the last call, and when their last frame came (monotonic)."""
        departed, self._departed = self._departed, {}
        return departed

    def _picture(self, name: str, camera: Camera) -> PictureWatch | None:
        if not camera.one_view or not camera.policy.picture_health:
            return None
        watch = self._pictures.pop(name, None) or PictureWatch()
        self._pictures[name] = watch
        if len(self._pictures) > _MOST_PICTURES:
            del self._pictures[next(iter(self._pictures))]
        return watch

    def _put_away(self, name: str, camera: Camera, tracks: Follower) -> None:
        """Keep the objects of a camera that leaves: it may only connect again."""
        if camera.unnamed or camera.last_frame_s is None:
            tracks.close()
            return
        self._tracks[name] = tracks, camera.last_frame_s
        if len(self._tracks) > _MOST_TRACKED:
            self._tracks.pop(next(iter(self._tracks)))[0].close()

    def _remove(self, name: str) -> None:
        camera = self._cameras.pop(name)
        if camera.tracks is not None:
            self._put_away(name, camera, camera.tracks)
        if camera.last_scene is not None and camera.one_view and not camera.unnamed:
            self._scenes[name] = camera.last_scene
            if len(self._scenes) > _MOST_SCENES:
                del self._scenes[next(iter(self._scenes))]
        if camera.received and camera.last_frame_s is not None and not camera.own and not camera.unnamed:
            self._departed[name] = camera.last_frame_s
            if len(self._departed) > self._most:
                del self._departed[next(iter(self._departed))]
