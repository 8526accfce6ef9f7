"""Cameras that ask to be let in: each brings a token of its own, which an operator approves or refuses.

The device never sends a secret: it keeps the hash of the camera's token once it is approved. Both sides show the same
short code, so that an operator can tell the camera from somebody else who asks under its name.

Few may wait, and whoever asks again waits on. So that one machine cannot take all places, an address has few of them,
and when none is free, a newcomer gets the latest one of the address, or of the IPv6 /64 network, that holds the most.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from appliance.identity.brake import network_of
from appliance.identity.tokens import TokenError
from appliance.ports import Clock

_MOST, _MOST_PER_ADDRESS = 32, 4
_FORGET_S = 15 * 60.0
SHORTEST_TOKEN = 32
"""Characters of a token that a camera makes for itself."""


@dataclass(frozen=True, slots=True)
class PairingRequest:
    """A camera that waits for approval."""

    name: str
    token: str
    address: str
    since_s: float
    last_s: float

    @property
    def code(self) -> str:
        return code_of(self.name, self.token)


def code_of(name: str, token: str) -> str:
    """Six digits that the camera and the device show, such as `407 115`."""
    hashed = hashlib.blake2b(f"pairing~{name}~{token}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    number = f"{int.from_bytes(hashed, 'big') % 1_000_000:06}"
    return f"{number[:3]} {number[3:]}"


class Pairings:
    """The waiting cameras by name and code, the longest waiting first. They are in memory only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: OrderedDict[tuple[str, str], PairingRequest] = OrderedDict()

    def ask(self, name: str, token: str, address: str) -> PairingRequest | None:
        """Note that a camera asks. None: no place is free, since too many cameras wait, or too many at this address."""
        now = self._clock()
        self._forget(now)
        key = name, code_of(name, token)
        known = self._waiting.get(key)
        if known is not None and known.token == token:
            moved = address if self._held()[address] < _MOST_PER_ADDRESS else known.address
            self._waiting[key] = replace(known, last_s=now, address=moved)
            return self._waiting[key]
        if known is not None or not self._make_place(address):
            return None
        self._waiting[key] = PairingRequest(name, token, address, now, now)
        return self._waiting[key]

    def waiting(self) -> tuple[PairingRequest, ...]:
        """The cameras that have asked within the last quarter of an hour."""
        self._forget(self._clock())
        return tuple(self._waiting.values())

    def find(self, name: str, code: str = "") -> PairingRequest:
        """The request of this name. `code`: needed if several cameras ask under the name.

        Raises TokenError (pairing_unknown, pairing_ambiguous).
        """
        digits = code.replace(" ", "")
        asking = [one for one in self.waiting() if one.name == name and digits in ("", one.code.replace(" ", ""))]
        if not asking:
            which = f"'{name}' waits for approval{' with this code' if digits else ''}"
            raise TokenError(f"no camera {which}. To see those that wait: appliance token list", "pairing_unknown")
        if len(asking) > 1:
            raise TokenError(
                f"several cameras ask for the name '{name}'; add the code that the right one shows: "
                + ", ".join(one.code for one in asking),
                "pairing_ambiguous",
            )
        return asking[0]

    def forget(self, request: PairingRequest) -> None:
        """It has been answered."""
        self._waiting.pop((request.name, request.code), None)

    def _make_place(self, address: str) -> bool:
        """Whether one more may wait at this address; takes the place of another one if necessary."""
        if self._held()[address] >= _MOST_PER_ADDRESS:
            return False
        if len(self._waiting) < _MOST:
            return True
        for whose in (str, network_of):
            held = self._held(whose)
            most = max(held.values())
            if held[whose(address)] + 1 < most:
                holders = [key for key, one in self._waiting.items() if held[whose(one.address)] == most]
                del self._waiting[holders[-1]]
                return True
        return False

    def _held(self, whose: Callable[[str], str] = str) -> Counter[str]:
        """How many wait at each address, or in each network."""
        return Counter(whose(one.address) for one in self._waiting.values())

    def _forget(self, now: float) -> None:
        for key in [key for key, one in self._waiting.items() if now - one.last_s > _FORGET_S]:
            del self._waiting[key]
