"""Ask the parts for their state: for a snapshot, for the findings, and for the history."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from appliance.errors import ConfigError
from appliance.flow.cameras import CameraBook
from appliance.flow.detector import Detector
from appliance.flow.pace import Pace
from appliance.governor.service import Governor
from appliance.health import history
from appliance.health.camera_history import CameraHistory
from appliance.health.canary import Canary
from appliance.health.catalogue import CATALOGUE
from appliance.health.facts import Cause, Facts, Notices, Thresholds
from appliance.health.finding import Finding
from appliance.health.findings import Register, status_of
from appliance.health.recorder import Sample
from appliance.health.roster import KnownCamera, Roster, Sighting
from appliance.health.trends import Counts, Trends
from appliance.health.watch import Watch
from appliance.ports import Clock
from appliance.readings import Board, Reading
from appliance.tls.server import TlsState
from appliance.values import Limits, SkipReason
from appliance.vitals.snapshot import Delivery, EngineState, GovernorState, ServiceState, Snapshot, UpdateView

_ENOUGH_FAILURES = 3
"""Self-tests in a row, of a device that has never passed one."""


class Vitals:
    """Collects the parts' states; remembers only since when each finding stands.

    `restarts`: of the service since the machine was switched on. `delivery`: asked for each snapshot, like `notices`.
    """

    def __init__(
        self,
        *,
        detector: Detector,
        pace: Pace,
        book: CameraBook,
        governor: Governor,
        canary: Canary,
        watch: Watch,
        roster: Roster,
        board: Board,
        thresholds: Thresholds,
        clock: Clock,
        restarts: int | None = None,
        delivery: Callable[[], Delivery] = Delivery,
        wall_clock: Clock = time.time,
    ) -> None:
        self._detector, self._pace, self._book, self._governor = detector, pace, book, governor
        self._canary, self._watch, self._board = canary, watch, board
        self._delivery, self._clock, self._wall_clock = delivery, clock, wall_clock
        self.thresholds = thresholds
        self.notices: Callable[[], Notices] = Notices
        self.tls: Callable[[], TlsState | None] = lambda: None
        self.update: Callable[[], UpdateView | None] = lambda: None
        self._register, self._trends = Register(CATALOGUE), Trends()
        self._camera_history = CameraHistory()
        self.roster = roster
        self._started_s, self._restarts = clock(), restarts

    def snapshot(self) -> Snapshot:
        """The device now."""
        detector = self._detector
        return Snapshot(
            at_s=self._clock(),
            wall_s=self._wall_clock(),
            findings=self.findings(),
            ready=self.ready(),
            service=ServiceState(self._clock() - self._started_s, self._restarts),
            board=self._board,
            reading=self._reading,
            governor=self._governor_state(),
            engine=self._engine_state(),
            canary=self._canary.state,
            tally=self._book.tally,
            cameras=self._pace.stats(),
            known_cameras=self.known_cameras(),
            cached_answers=len(detector.cache) if detector.cache is not None else 0,
            delivery=self._delivery(),
            tls=self.tls(),
            update=self.update(),
        )

    def known_cameras(self) -> dict[str, KnownCamera]:
        """Every camera that has sent a frame, also those that have gone, and every one that the settings name."""
        return self.roster.report(self._clock(), self._wall_clock())

    def ready(self) -> bool:
        """Whether a model is loaded and the self-test has passed, and still does."""
        return self._detector.network is not None and self._canary.ready

    @property
    def limits(self) -> Limits:
        """What the whole device may do now."""
        return self._governor.limits

    @property
    def temp_c(self) -> float | None:
        """Temperature of the chip; None: unknown."""
        return self._reading.thermal.soc_temp_c

    @property
    def clock_is_set(self) -> bool:
        """Whether the wall clock is synchronised, or nobody knows."""
        return self._reading.system.clock_synchronised is not False

    @property
    def stuck(self) -> bool:
        """Whether an inference is past its deadline."""
        return self._detector.stuck

    def unable(self) -> str | None:
        """Why the device answers no frame although it is up and reachable; None: it does, or may soon."""
        canary = self._canary.state
        if self._detector.network is None:
            return str(self._detector.in_use.lack)
        if not canary.proved and canary.failures >= _ENOUGH_FAILURES:
            return f"the self-test failed: {canary.message}"
        return None

    def findings(self) -> tuple[Finding, ...]:
        """What is wrong now, worst first."""
        now, detector, governor = self._clock(), self._detector, self._governor
        error = detector.in_use.lack
        return self._register.evaluate(
            Facts(
                now_s=now,
                thresholds=self.thresholds,
                model_error=None if error is None or isinstance(error, ConfigError) else Cause.of(error),
                canary=self._canary.state,
                engine_failures=detector.in_use.engine_failures,
                reading=self._reading,
                limits=governor.limits,
                cooling=governor.state.cooling,
                max_cooling=governor.max_state,
                target_temp_c=governor.target_c,
                held_for_s=governor.held_for_s,
                recent=self._trends.recent(),
                silent_s=self.roster.absence.silent_s,
                all_gone=self.roster.absence.all_gone,
                picture_faults={
                    name: camera.picture.faults
                    for name, camera in self._book
                    if camera.picture is not None and camera.picture.faults
                },
                history=self._watch.history_status,
                notices=self.notices(),
            )
        )

    def sample(self) -> Sample:
        """One sample for the history, taken once a second."""
        counts = self._counts()
        self._trends.note(counts, self._reading.thermal.soc_temp_c)
        self._camera_history.note(self._pace.stats, counts.at_s)
        cameras = sum(camera.sending(counts.at_s) for _, camera in self._book if not camera.own)
        self.roster.note(self._sightings(counts.at_s), self._book.policies, counts.at_s, self._wall_clock())
        return Sample(self._reading, counts, self._governor.state.cooling, cameras, status_of(self.findings()))

    def camera_excerpt(self, name: str) -> dict[str, Any]:
        """The last hour of one camera, as JSON."""
        return self._camera_history.as_json(name, self._clock(), self._wall_clock())

    def excerpt(self, span: history.Span) -> history.Excerpt:
        """The history of the last hour or day."""
        return self._watch.history.excerpt(span, self._wall_clock())

    @property
    def _reading(self) -> Reading:
        return self._governor.reading or Reading(at_s=0.0)

    def _governor_state(self) -> GovernorState:
        governor = self._governor
        return GovernorState(
            cooling=governor.cur_state,
            max_cooling=governor.max_state,
            time_in_state_s=governor.time_in_state_s,
            transitions=governor.transitions,
            held_for_s=governor.held_for_s,
            target_c=governor.target_c,
            limits=governor.limits,
        )

    def _engine_state(self) -> EngineState:
        detector = self._detector
        network = detector.network
        return EngineState(
            model=network.info if network else None,
            precision=network.info.computed_in(network.engine.precision) if network else None,
            sizes=tuple(network.engine.ready()) if network else (),
            infer_ms=detector.in_use.infer_ms,
            capacity_fps=detector.in_use.capacity_fps(),
            in_flight=detector.in_flight,
            waiting=detector.waiting,
            failures=detector.in_use.engine_failures,
            still_s=self._trends.recent().engine_still_s,
        )

    def _sightings(self, now_s: float) -> list[Sighting]:
        """Cameras with names of their own that have sent a frame, first those that have left since the last time."""
        seen = [Sighting(name, last_s, False) for name, last_s in self._book.take_departed().items()]
        for name, camera in self._book:
            if camera.received and camera.last_frame_s is not None and not camera.own and not camera.unnamed:
                seen.append(Sighting(name, camera.last_frame_s, camera.sending(now_s)))
        return seen

    def _counts(self) -> Counts:
        tally, detector = self._book.tally, self._detector
        limited = tally.skipped[SkipReason.RATE_LIMITED.value]
        return Counts(
            at_s=self._clock(),
            received=tally.received,
            answered=tally.answered,
            overloaded=tally.skipped.total() - limited,
            rate_limited=limited,
            results_dropped=self._delivery().dropped,
            latency_counts=tuple(tally.latency_counts),
            in_flight=detector.in_flight,
            returned=detector.returned,
        )
