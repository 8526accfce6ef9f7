"""The table of attacks, in the order of the report. Each is a small function, one attacker.

An attacker gets a Target and attacks once, or holds resources until the service takes them back. The runner repeats it
until the time is over, with `at_once` attackers in parallel. It raises Vulnerable if a response alone shows a fault.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.attack.pictures import camera_picture
from tests.attack.wire import Target

Attacker = Callable[[Target], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Attack:
    """One line of the report."""

    name: str
    attacker: Attacker
    at_once: int
    addresses: int
    """The number of addresses that the attackers share."""
    quick: bool
    """Whether it is part of CI."""
    prepare: Callable[[], object]
    """Prepares the data of the attackers, before the attack starts."""
    settings: tuple[str, ...] = ()
    """`SECTION.KEY=VALUE` of the service that it attacks, which has its own process then."""


ATTACKS: dict[str, Attack] = {}


def attack(
    name: str,
    *,
    at_once: int = 1,
    addresses: int = 1,
    quick: bool = False,
    prepare: Callable[[], object] = camera_picture,
    settings: tuple[str, ...] = (),
) -> Callable[[Attacker], Attacker]:
    """Add an attacker to the table."""

    def register(attacker: Attacker) -> Attacker:
        ATTACKS[name] = Attack(name, attacker, at_once, addresses, quick, prepare, settings)
        return attacker

    return register
