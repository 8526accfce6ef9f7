"""The attacks, each a small function that is one attacker; `ATTACKS` holds them all in the order of the report.

An attacker gets a Target and does its harm once, or holds what it took until the service takes it back. The runner
repeats it until its time is over, many at once where the table says so. It raises Vulnerable where an answer alone
shows a fault.
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
    """How many addresses the attackers have between them."""
    quick: bool
    """Part of the run in CI."""
    prepare: Callable[[], object]
    """Makes what the attackers send, before their time begins."""


ATTACKS: dict[str, Attack] = {}


def attack(
    name: str,
    *,
    at_once: int = 1,
    addresses: int = 1,
    quick: bool = False,
    prepare: Callable[[], object] = camera_picture,
) -> Callable[[Attacker], Attacker]:
    """Put an attacker into the table."""

    def register(attacker: Attacker) -> Attacker:
        ATTACKS[name] = Attack(name, attacker, at_once, addresses, quick, prepare)
        return attacker

    return register
