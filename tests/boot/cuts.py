"""The moments of the power cuts: twenty, during five kinds of work, random but the same in each run.

A write takes a few thousandths of the time of the work before it. So where the work ends in a write, every other cut is
aimed at the write: it comes within 0.1 s after the guest reports that it is about to write or has written.
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
    """What the device is doing when the power is cut."""

    FRAMES = "frames flow"
    START = "the service starts"
    IMPORT = "a model is imported"
    ACTIVATION = "a model is activated"
    STATE = "state is written"


_WITHIN_S = {Kind.FRAMES: 4.0, Kind.START: 7.0, Kind.IMPORT: 3.0, Kind.ACTIVATION: 10.0, Kind.STATE: 1.5}


@dataclass(frozen=True, slots=True)
class Cut:
    """One cut, `after_s` after the start of the work, or after its write if `aimed`; in the guest's time."""

    kind: Kind
    after_s: float
    aimed: bool = False

    def __str__(self) -> str:
        return f"{self.kind.value}, {self.after_s:.2f} s after {'its write' if self.aimed else 'it began'}"


def plan(seed: int = 0) -> tuple[Cut, ...]:
    """All cuts in order, four of each kind."""
    generator = random.Random(seed)
    cuts = []
    for turn in range(NUMBER // len(Kind)):
        for kind in Kind:
            aimed = kind in (Kind.IMPORT, Kind.ACTIVATION, Kind.STATE) and turn % 2 == 0
            cuts.append(Cut(kind, generator.uniform(0, _AIMED_S if aimed else _WITHIN_S[kind]), aimed))
    return tuple(cuts)


def script(cut: Cut, in_use: str) -> str:
    """A shell script for the guest, which prints `now` at the moment of the cut. `in_use`: the active model."""
    pause = f"sleep {cut.after_s:.3f}; echo now"
    if cut.kind is Kind.FRAMES:
        return pause
    if cut.kind is Kind.START:
        return f"systemctl restart --no-block appliance; {pause}"
    if cut.kind is Kind.STATE:
        stop = "sleep 12; systemctl stop --no-block appliance"  # by then it has a row, which it writes when it stops
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
