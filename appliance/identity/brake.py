"""Slow down whoever tries tokens.

Rules of this file:
- After a few wrong tokens, an address has to wait before another one is tried under the same name: twice as long each
  time, up to a minute. It may try other names at one a second, and so may all addresses together with one name.
- Waiting is decided before the token is compared, so an attempt during the wait reveals nothing.
- A token that this device has issued is never held up, since it is too long to be guessed, nor is one that has worked
  from this address before: whoever guesses locks out nobody, and one camera with an old token no other one behind the
  same router.
- Wrong tokens under a name are forgotten once the right one for that name comes from the same address. A token for
  something else shows only that somebody has that, such as whoever has taken over another camera.
- A token that is held up makes nothing forgotten: it counts for its address, without its name.
- Where no token is required, a wrong one is ignored, and counts once: a camera that goes on sending an old token
  guesses nothing, and must not use up the attempts of those behind the same router.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from appliance.ports import Clock

_FREE = 5
"""Wrong tokens in a row that cost no wait."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0
_FORGET_S = 600.0
_AT_ONCE, _PER_S = 20.0, 1.0
"""Wrong tokens of one address under any name, and under one name from any address."""
_MOST_PAIRS, _MOST_REMEMBERED = 1000, 4096
"""Pairs are few: all of them are counted for each finding."""
_ATTACK = 20
"""Attempts within ten minutes that are worth a finding."""


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(slots=True)
class _Attempts:
    count: int = 0
    """Wrong tokens that were compared."""
    tried: int = 0
    """These, and tokens that were held up."""
    last_s: float = 0.0
    until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Guessing:
    """Wrong tokens of the last ten minutes, and tokens that were held up."""

    attempts: int
    address: str
    """Where most of them came from."""


class Brake:
    """Remembers wrong tokens by address and name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pairs: OrderedDict[tuple[str, str], _Attempts] = OrderedDict()
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Debt of each address and each name, and when it was computed."""
        self._worked: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._ignored: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    def wait_s(self, address: str, name: str) -> float:
        """How long this address has to wait before a token is tried under this name; 0: not at all."""
        now, address = self._clock(), network_of(address)
        attempts = self._pairs.get((address, name))
        waits = [attempts.until_s - now if attempts is not None else 0.0, self._debt(f"a{address}", now)]
        if name:
            waits.append(self._debt(f"n{name}", now))
        return max(0.0, *waits)

    def knows(self, address: str, credential: str) -> bool:
        """Whether this credential has worked from this address before."""
        return (network_of(address), credential) in self._worked

    def failed(self, address: str, name: str) -> None:
        """Count a wrong token."""
        now, address = self._clock(), network_of(address)
        attempts = self._pairs.pop((address, name), None)
        if attempts is None or now - attempts.last_s > _FORGET_S:
            attempts = _Attempts()
        attempts.count, attempts.tried, attempts.last_s = attempts.count + 1, attempts.tried + 1, now
        if attempts.count >= _FREE:
            doubled = _FIRST_WAIT_S * 2.0 ** min(attempts.count - _FREE, 10)
            attempts.until_s = now + min(_LONGEST_WAIT_S, doubled)
        _remember(self._pairs, (address, name), attempts, _MOST_PAIRS)
        for key in (f"a{address}", *([f"n{name}"] if name else [])):
            level, at_s = self._levels.pop(key, (0.0, now))
            _remember(self._levels, key, (max(0.0, level - (now - at_s) * _PER_S) + 1, now))

    def held_up(self, address: str, name: str) -> None:
        """Count a token that was not compared, because its sender has to wait."""
        address = network_of(address)
        key = (address, name) if (address, name) in self._pairs else (address, "")
        attempts = self._pairs.pop(key, None) or _Attempts()
        attempts.tried, attempts.last_s = attempts.tried + 1, self._clock()
        _remember(self._pairs, key, attempts, _MOST_PAIRS)

    def worked(self, address: str, credential: str) -> None:
        """Remember that this credential has worked from this address."""
        _remember(self._worked, (network_of(address), credential), None)

    def forgive(self, address: str, name: str) -> None:
        """Forget the wrong tokens of an address that has presented the right one for this name."""
        self._pairs.pop((network_of(address), name), None)

    def ignored(self, address: str, name: str, digest: str) -> None:
        """Remember a wrong token, by its hash, that was counted and ignored."""
        _remember(self._ignored, (network_of(address), name, digest), None)

    def ignores(self, address: str, name: str, digest: str) -> bool:
        """Whether this token was counted and ignored before: it is no further guess."""
        return (network_of(address), name, digest) in self._ignored

    def guessing(self) -> Guessing | None:
        """The wrong tokens of the last ten minutes, if there are many."""
        since_s = self._clock() - _FORGET_S
        by_address: dict[str, int] = {}
        for (address, _), attempts in self._pairs.items():
            if attempts.last_s >= since_s:
                by_address[address] = by_address.get(address, 0) + attempts.tried
        total = sum(by_address.values())
        if total < _ATTACK:
            return None
        return Guessing(total, max(by_address, key=lambda address: by_address[address]))

    def _debt(self, key: str, now: float) -> float:
        level, at_s = self._levels.get(key, (0.0, now))
        return max(0.0, (level - (now - at_s) * _PER_S - _AT_ONCE + 1) / _PER_S)


def network_of(address: str) -> str:
    """The address, or the /64 network that one IPv6 client can choose its addresses from."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def _remember(memory: OrderedDict[_Key, _Value], key: _Key, value: _Value, most: int = _MOST_REMEMBERED) -> None:
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > most:
        memory.popitem(last=False)
