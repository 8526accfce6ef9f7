"""When the power goes: twenty moments out of five kinds of work, drawn by chance, the same ones each time.

A write takes a few thousandths of the time of what leads to it. So every other cut of what ends in a write is aimed at
it: it comes in the tenth of a second after the guest has said that it is about to write, or believes to have written.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum

NUMBER = 20
MODELS = ("yolo11n", "second")
_STATE = "/var/lib/appliance"
_MODEL = "cd /opt/appliance; current/venv/bin/appliance model"
_AIMED_S = 0.1


class Kind(Enum):
    """What the box does when the power goes."""

    FRAMES = "frames flow"
    START = "the service starts"
    IMPORT = "a model is taken in"
    ACTIVATION = "a model is activated"
    STATE = "state is written"


_WITHIN_S = {Kind.FRAMES: 4.0, Kind.START: 7.0, Kind.IMPORT: 3.0, Kind.ACTIVATION: 10.0, Kind.STATE: 1.5}


@dataclass(frozen=True, slots=True)
class Cut:
    """One cut, so long after the work began, or after its write where that is `aimed` at; s of the guest."""

    kind: Kind
    after_s: float
    aimed: bool = False

    def __str__(self) -> str:
        return f"{self.kind.value}, {self.after_s:.2f} s after {'its write' if self.aimed else 'it began'}"


def plan(seed: int = 0) -> tuple[Cut, ...]:
    """All cuts, four of each kind, in the order in which they are made."""
    chance = random.Random(seed)
    cuts = []
    for turn in range(NUMBER // len(Kind)):
        for kind in Kind:
            aimed = kind in (Kind.IMPORT, Kind.ACTIVATION, Kind.STATE) and turn % 2 == 0
            cuts.append(Cut(kind, chance.uniform(0, _AIMED_S if aimed else _WITHIN_S[kind]), aimed))
    return tuple(cuts)


def script(cut: Cut, in_use: str) -> str:
    """What the guest's shell does until it says `now`; `in_use` is the model that is active before."""
    pause = f"sleep {cut.after_s:.3f}; echo now"
    if cut.kind is Kind.FRAMES:
        return pause
    if cut.kind is Kind.START:
        return f"systemctl restart --no-block appliance; {pause}"
    if cut.kind is Kind.STATE:
        stop = "sleep 12; systemctl stop --no-block appliance"  # by then it has a row, and writes it when it stops
        written = f"stat -c %i.%.9Y {_STATE}/history 2>/dev/null"
        wait = f'while [ "$({written})" = "$was" ]; do :; done; ' if cut.aimed else ""
        return f'was="$({written})"; {stop}; {wait}{pause}'
    (other,) = (name for name in MODELS if name != in_use)
    if cut.kind is Kind.IMPORT:
        then = "&&" if cut.aimed else "&"
        return f"{_MODEL} import /root/models/{other} --force >/dev/null {then} {pause}"
    activate = f"{_MODEL} activate {other} --force"
    if not cut.aimed:
        return f"{activate} >/dev/null & {pause}"
    return f'{activate} | while read -r line; do case $line in *" works: "*) {pause};; esac; done'
