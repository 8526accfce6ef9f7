"""Whether connections to the broker last.

A broker ends a connection when another client uses the same identifier, and that client's when the device comes back:
two devices with one `device_id` would cut each other off every second. It also ends the connection of a client that
publishes what it may not. MQTT 3.1.1 gives no reason.
"""

from __future__ import annotations

from appliance.ports import Clock

STEADY_S = 60.0
"""A connection that the broker ends sooner is short. Twice the longest pause: two devices in turns stay shaky."""
MOST_SHORT = 3
"""Short connections in a row that are no reason to worry: a broker that restarts causes one or two."""


class Steadiness:
    """Counts short connections in a row."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_s: float | None = None
        """When the present connection began; None: there is none."""
        self._short = 0

    @property
    def connected(self) -> bool:
        return self._since_s is not None

    @property
    def shaky(self) -> bool:
        """Whether the present connection will probably not last."""
        return self._short > MOST_SHORT and not self._lasts

    @property
    def _lasts(self) -> bool:
        return self._since_s is not None and self._clock() - self._since_s >= STEADY_S

    def begin(self) -> None:
        """A connection has begun."""
        self._since_s = self._clock()

    def end(self, *, closed: bool) -> None:
        """The connection has ended, or none was made. `closed`: by the broker."""
        if self._since_s is not None:
            self._short = self._short + 1 if closed and not self._lasts else 0
        self._since_s = None
