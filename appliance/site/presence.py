"""What the devices of a site say about themselves, every two seconds.

A device that has said nothing for `GONE_S` counts as gone, and is remembered for a day so that people miss it. What its
viewers want still counts for `WANTS_S`: it may only be cut off by a server that hangs, and get the results later. What
arrives is checked: the bus is another machine. Two hundred devices that say as much as they may take 20 MB.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from appliance.camera_names import HTTP_PREFIX, LONGEST
from appliance.ports import Clock
from appliance.site.moves import OtherDevice

EVERY_S = 2.0
GONE_S = 7.0
WANTS_S = 15.0
_FORGET_S = 86400.0
EVERY_CAMERA = "*"
_MOST_DEVICES = 200
MOST_CAMERAS = 500
_ANY_WANTED = 200
"""A device whose viewers want more cameras gets the results of all."""

_Text = Annotated[str, Meta(max_length=256)]
_Camera = Annotated[str, Meta(max_length=len(HTTP_PREFIX) + LONGEST)]
_Url = Annotated[str, Meta(max_length=256, pattern=r"^https?://")]
"""The page makes a link of it."""
DeviceName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class Presence(Struct, frozen=True, kw_only=True):
    """One device's state. `headroom`: 0-1. `wants`: cameras whose results its viewers need; `*`: all."""

    device: DeviceName
    version: _Text
    state: _Text
    url: _Url | None = None
    drained: bool = False
    headroom: Annotated[float, Meta(ge=0, le=1)]
    capacity: Annotated[float, Meta(gt=0, le=1_000_000)]
    temp_c: Annotated[float, Meta(ge=-100, le=300)] | None = None
    moving: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """Cameras that sit here through the front: those that may be moved."""
    cameras: Annotated[tuple[_Camera, ...], Meta(max_length=MOST_CAMERAS)] = ()
    wants: Annotated[tuple[_Camera, ...], Meta(max_length=_ANY_WANTED)] = ()
    joined: bool = False
    """Since it last spoke it has connected to the bus, and may have missed what was sent."""


class Gone(Struct, frozen=True):
    """A device that has said nothing for a while."""

    device: DeviceName
    silent_s: float
    url: _Url | None = None


def wanted_of(subscribed: frozenset[str]) -> tuple[str, ...]:
    """What to ask other devices for."""
    if EVERY_CAMERA in subscribed or len(subscribed) > _ANY_WANTED:
        return (EVERY_CAMERA,)
    return tuple(sorted(subscribed))


class Neighbours:
    """The other devices, as they have described themselves last."""

    def __init__(self, device: str, clock: Clock) -> None:
        self.device, self._clock = device, clock
        self._heard: dict[str, tuple[float, Presence]] = {}
        self._gone: dict[str, tuple[float, Presence]] = {}
        self._wanted: frozenset[str] = frozenset()
        self._wanted_until_s = math.inf
        """When a device that has gone stops wanting anything."""

    def hear(self, message: bytes) -> Presence | None:
        """Take one message and return it; None: its sender claims to be this device, or there are too many devices.

        Raises MsgspecError and RecursionError for one that is invalid.
        """
        one = msgspec.json.decode(message, type=Presence)
        if one.device == self.device or (one.device not in self._heard and len(self._heard) >= _MOST_DEVICES):
            return None
        _, before = self._heard.get(one.device, (0.0, None))
        self._heard[one.device] = self._clock(), one
        self._gone.pop(one.device, None)
        if before is None or before.wants != one.wants:  # at each message it would cost the square of the devices
            self._sum_up()
        return one

    def present(self) -> dict[str, Presence]:
        """The devices that have been heard of lately, by name."""
        oldest_s = self._clock() - GONE_S
        gone = {name: said for name, said in self._heard.items() if said[0] <= oldest_s}
        if gone:
            self._heard = {name: said for name, said in self._heard.items() if name not in gone}
            self._gone = dict([*self._gone.items(), *gone.items()][-_MOST_DEVICES:])
        if gone or self._clock() >= self._wanted_until_s:
            self._sum_up()
        return {name: one for name, (_, one) in sorted(self._heard.items())}

    def gone(self) -> list[Gone]:
        """The devices that were here within the last day and are not."""
        self.present()
        now_s = self._clock()
        self._gone = {name: said for name, said in self._gone.items() if now_s - said[0] < _FORGET_S}
        return [Gone(name, now_s - at_s, one.url) for name, (at_s, one) in sorted(self._gone.items())]

    def want(self, camera: str) -> bool:
        """Whether a viewer of another device needs this camera's results. Called for each result."""
        return camera in self._wanted or EVERY_CAMERA in self._wanted

    def for_moves(self) -> dict[str, OtherDevice]:
        """What the decision about moves needs to know."""
        return {
            name: OtherDevice(0.0 if one.drained else one.headroom, one.capacity, one.moving)
            for name, one in self.present().items()
        }

    def _sum_up(self) -> None:
        since_s = self._clock() - WANTS_S
        lately = [said for said in self._gone.values() if said[0] > since_s]
        self._wanted_until_s = min((at_s + WANTS_S for at_s, _ in lately), default=math.inf)
        self._wanted = frozenset(camera for _, one in [*self._heard.values(), *lately] for camera in one.wants)


Describe = Callable[[], Presence]
