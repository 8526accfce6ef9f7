"""All that the checks look at: one moment of the box, put together by whoever knows its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.readings import Reading
from appliance.values import CanaryState, Limits


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The settings that some checks hold values against."""

    critical_temp_c: float
    min_available_bytes: int
    engine_deadline_s: float = 20.0
    """`flow.deadline_s`: after this long the detector gives a frame up."""


@dataclass(frozen=True, slots=True)
class Lately:
    """What no single moment shows."""

    temp_seen: bool = False
    """The chip's temperature could be read at least once since the service started."""
    engine_still_s: float = 0.0
    """Frames have been under way for so long and none has come back, s."""
    received: int = 0
    """Frames that came in the last minute, as all counts below."""
    overloaded: int = 0
    """Of those, dropped because the box had no time for them."""
    rate_limited: int = 0
    """Of those, dropped because they came sooner than their camera was told."""
    results_dropped: int = 0
    """Events that clients did not read in time."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How it stands with what is kept on disk."""

    problem: str | None = None
    """Why nothing is kept, or the last write failed."""
    taken: bool = False
    """Another service keeps its state there."""
    set_aside: str | None = None
    """The new name of a file that could not be read."""
    set_aside_for_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Notices:
    """What is wrong with the settings and with what they ask for, each a sentence that names what to mend."""

    safe_mode: str | None = None
    """Why no frame is looked at."""
    config_not_reloaded: str | None = None
    """Why the settings from before still hold."""
    engine_stand_in: str | None = None
    """Why another engine runs the model than the one that is asked for."""
    engine_problem: str | None = None
    """Why that stays so; None: it is being mended."""
    engine_built: bool = False
    """The engine asked for has been built; a restart takes it into use."""
    activation_error: str | None = None
    """Which model was not activated last, and why."""
    part_failed: str | None = None
    """Which parts that the service goes on without fail, and why."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One moment; `now_s` is monotonic."""

    now_s: float
    thresholds: Thresholds
    model_error: str | None
    canary: CanaryState
    engine_failures: int
    """In a row."""
    reading: Reading
    limits: Limits
    cooling: int
    max_cooling: int
    target_temp_c: float | None = None
    """The governor keeps the chip below this."""
    held_for_s: float | None = None
    """A person holds the governor's state for so long yet, s."""
    lately: Lately = field(default_factory=Lately)
    silent_s: Mapping[str, float] = field(default_factory=dict)
    """Since when each camera that the configuration names has sent nothing, s."""
    kept: Kept = field(default_factory=Kept)
    notices: Notices = field(default_factory=Notices)
    standing: frozenset[str] = frozenset()
    """Codes of the findings that stood a moment ago: their thresholds are a little wider, so that none flutters."""

    def below(self, code: str, value: float | None, least: float, enough: float) -> bool:
        """Whether a value is under `least`, or is not back at `enough` since; unknown is neither."""
        return value is not None and value < (enough if code in self.standing else least)

    def above(self, code: str, value: float | None, most: float, fine: float) -> bool:
        """Whether a value has reached `most`, or is not back under `fine` since; unknown is neither."""
        return value is not None and value >= (fine if code in self.standing else most)
