"""The input of the checks: the state of the device at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.errors import ApplianceError
from appliance.readings import Reading
from appliance.values import Limits, PictureFault


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Settings that the checks compare values with."""

    critical_temp_c: float
    min_available_bytes: int
    engine_deadline_s: float = 20.0
    """`flow.deadline_s`: after this time the detector gives up on a frame."""


@dataclass(frozen=True, slots=True)
class CanaryState:
    """The result of the last self-test, which sends a known picture through the real pipeline."""

    proved: bool = False
    message: str = "not tried yet"
    at_s: float | None = None
    """Monotonic time of the last self-test."""
    infer_ms: float | None = None
    failures: int = 0
    """Failures in a row."""


@dataclass(frozen=True, slots=True)
class Recent:
    """What no single moment shows: the last minute's counts, and for how long a state has lasted."""

    temp_seen: bool = False
    """The chip's temperature was read at least once since the service started."""
    engine_still_s: float = 0.0
    """For how long frames have been in flight and none has returned, s."""
    received: int = 0
    """Frames received in the last minute. The counts below cover the same minute."""
    overloaded: int = 0
    """Frames dropped because the device was overloaded."""
    rate_limited: int = 0
    """Frames dropped because their camera exceeded its rate limit."""
    results_dropped: int = 0
    """Events dropped because clients read too slowly."""


@dataclass(frozen=True, slots=True)
class HistoryStatus:
    """Whether the history is saved to disk."""

    problem: str | None = None
    """Why the history is not saved, or why the last write failed."""
    taken: bool = False
    """Another service uses the same state folder."""
    set_aside: str | None = None
    """The new name of a damaged file."""
    set_aside_for_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something does not work."""

    code: str
    """Of the error, for translations."""
    text: str
    """The error in English."""

    @staticmethod
    def of(error: ApplianceError) -> Cause:
        return Cause(error.code, str(error))


@dataclass(frozen=True, slots=True)
class CertificateNotice:
    """What is wrong with the TLS certificate."""

    problem: str | None = None
    """Why the operator's certificate, or any, is not in use."""
    expires_in_s: float | None = None
    """Time left of an operator's certificate that expires soon, s; negative: it has expired."""


@dataclass(frozen=True, slots=True)
class AccessNotices:
    """What an operator should know about who gets in."""

    open_to_all: bool = False
    """Other machines need no token."""
    tokens_problem: str | None = None
    """Why no operator can sign in."""
    guesses: int = 0
    """Wrong tokens in the last ten minutes, if there are many."""
    guessed_from: str = ""
    """The address that most of them came from."""
    contested: tuple[str, ...] = ()
    """Names that several cameras claim."""
    waiting: tuple[str, ...] = ()
    """Cameras that wait for approval, each with its code."""
    short: tuple[str, ...] = ()
    """Settings that hold a token that is easy to guess."""


@dataclass(frozen=True, slots=True)
class SupportNotices:
    """What whoever ships the device has stated about its support."""

    unstated: tuple[str, ...] = ()
    """Settings that are empty and should not be."""
    ended: str = ""
    """The last month with security fixes, if it has passed."""


@dataclass(frozen=True, slots=True)
class LinkNotice:
    """A link to another system that does not work. `name`: of the system."""

    name: str
    code: str
    """Why, for translations."""
    detail: str
    """What the system or the other side says about it; empty: nothing."""
    text: str
    """Code and detail in English."""


@dataclass(frozen=True, slots=True)
class SiteNotices:
    """What an operator should know about the device's part in its site."""

    drained: bool = False
    """It takes no cameras, as an operator has asked."""
    cameras_left: int = 0
    """Cameras and viewers that are still connected to a drained device."""
    bus_problem: str | None = None
    """Why results of other devices are missing."""


@dataclass(frozen=True, slots=True)
class UpdateNotices:
    """What an operator should know about updates. Absent texts are empty."""

    available: str = ""
    """The version that could be installed."""
    newest_age_days: float | None = None
    """How old the newest known release is; None: no source is set, or nothing is known."""
    never_reached: str = ""
    """Why `update.source` has not been reached at all so far; what is known of it is nothing."""
    undone: str = ""
    why: str = ""
    undone_by_a_person: bool = False
    no_root: bool = False
    """A source is set, but nothing to verify it with."""
    refused: Cause | None = None
    """Why what was offered at the last attempt is not installed."""


@dataclass(frozen=True, slots=True)
class Notices:
    """Problems that the service's parts report, each as a sentence."""

    safe_mode: str | None = None
    """Why the settings are invalid and detection is stopped."""
    config_not_reloaded: str | None = None
    """Why new settings were rejected; the previous ones stay in effect."""
    engine_stand_in: str | None = None
    """Why another engine than the configured one runs the model."""
    engine_problem: str | None = None
    """Why the stand-in stays. None: the configured engine is being built."""
    engine_built: bool = False
    """The configured engine has been built; a restart loads it."""
    server_away: str | None = None
    """Why the inference server is not used, as a sentence."""
    activation_error: Cause | None = None
    """Which model failed to activate, and why."""
    part_failed: str | None = None
    """Which background tasks fail, and why."""
    certificate: CertificateNotice = CertificateNotice()
    unknown_classes: tuple[str, ...] = ()
    """Classes that settings of cameras name and the model does not have."""
    mqtt_problem: LinkNotice | None = None
    """Which broker is not connected, and why."""
    webhook_problems: tuple[LinkNotice, ...] = ()
    """Which receivers do not accept events, and why."""
    access: AccessNotices = field(default_factory=AccessNotices)
    support: SupportNotices = SupportNotices()
    update: UpdateNotices = UpdateNotices()
    site: SiteNotices = field(default_factory=SiteNotices)


@dataclass(frozen=True, slots=True)
class Facts:
    """The device at one moment; `now_s` is monotonic."""

    now_s: float
    thresholds: Thresholds
    model_error: Cause | None
    """Why no model is loaded; None: one is, or the settings are invalid."""
    canary: CanaryState
    engine_failures: int
    """Consecutive failures."""
    reading: Reading
    limits: Limits
    cooling: int
    max_cooling: int
    target_temp_c: float | None = None
    """The governor keeps the chip below this temperature."""
    held_for_s: float | None = None
    """Remaining time of a manual hold of the governor, s."""
    recent: Recent = field(default_factory=Recent)
    silent_s: Mapping[str, float] = field(default_factory=dict)
    """Cameras that are silent for longer than usual, and the time since their last frame, s."""
    all_gone: bool = False
    """No camera sends, although some did."""
    picture_faults: Mapping[str, tuple[PictureFault, ...]] = field(default_factory=dict)
    """Cameras whose pictures have a fault, and which."""
    history: HistoryStatus = field(default_factory=HistoryStatus)
    notices: Notices = field(default_factory=Notices)
    standing: frozenset[str] = frozenset()
    """Codes of the current findings. Their clear thresholds differ from the set thresholds (hysteresis)."""

    def below(self, code: str, value: float | None, least: float, enough: float) -> bool:
        """Whether a value dropped below `least` and has not recovered to `enough`. False if the value is unknown."""
        return value is not None and value < (enough if code in self.standing else least)

    def above(self, code: str, value: float | None, most: float, fine: float) -> bool:
        """Whether a value has reached `most` and not yet dropped below `fine`. False if the value is unknown."""
        return value is not None and value >= (fine if code in self.standing else most)
