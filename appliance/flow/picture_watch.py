"""Judge one camera's pictures over time: covered, turned, blurred, dark, overexposed, frozen, torn.

Rules of this file:
- A picture is compared with what this camera usually shows, learned from its own pictures. It may change slowly by
  itself, as from day to night; what changes at once and stays is a fault.
- Each fault must last before it is reported, and be absent before it clears, so headlights, a passing lorry or one
  damaged picture is none.
- A picture without a view (dark, covered, overexposed) says nothing about where the camera points, or its focus.
- Nothing is learned from pictures that look wrong, nor from those in between.
- Worker threads call it, one at a time for each camera; the event loop reads `faults`.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from appliance.flow.picture_repeats import PictureRepeats
from appliance.values import PictureFault
from appliance.vision import picture_features
from appliance.vision.picture_features import Grid, Marks, PictureFeatures, in_place, likeness, same
from appliance.vision.picture_tears import displaced, rolled

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
"""More pictures of one camera say nothing new, also while a fault shows."""
_CALM_EVERY_S = 1.5
"""While nothing shows, nor clears: this halves what a frame a second costs, and every fault is still found in time."""


_AFTER_S: Mapping[PictureFault, float] = {
    PictureFault.COVERED: 6.0,
    PictureFault.TURNED: 22.0,
    PictureFault.BLURRED: 7.0,
    PictureFault.DARK: 6.0,
    PictureFault.OVEREXPOSED: 6.0,
    PictureFault.FROZEN: 0.0,  # picture_repeats.py has a time of its own
    PictureFault.TORN: 6.0,
}
_PART: Mapping[PictureFault, float] = {PictureFault.TORN: 0.4, PictureFault.TURNED: 0.7}
"""Part of the looks that must show the fault; 0.8 for those not listed. A picture that tears does not always."""
_CLEAR_S = 6.0
_LEAST_LOOKS = 4

_DARK_BRIGHT, _DARK_CONTRAST = 18.0, 4.0
_WHITE_PART = 0.55
_COVERED_ENERGY, _BARE_ENERGY, _BARE_LIKE = 0.35, 0.2, 0.6
_STRONG_TIMES, _STRONG_PART, _FAINT_LIKE = 1.2, 0.1, 0.3
"""A view, whichever, has strong edges in a tenth of its cells; a hand, a bag or paint has not."""
_LIKE, _LEFT_IN_PLACE = 0.45, 0.4
"""Measured: a lorry over a fifth of the picture leaves at least 0.44 of the view in place, a turn at most that."""
_HARD, _SOFT, _LEAST_HARD = 0.35, 0.6, 30
"""Of the cells that usually have a hard edge, 30 at least, half are softer than this part of it. Measured: at most
0.16 of them in pictures in focus, at least 0.85 in others."""
_IN_PLACE = 0.5
_LOST_PART = 0.08
_TEAR_NEAR, _TEAR_PLACES = 2, 2
"""A tear wanders. What comes back so near one of the last places belongs to the view: a lorry, a swaying edge."""
_LEARN_LOOKS = 12
"""Looks before the camera's usual view is known."""
_FOLLOW_S = 120.0
_ADOPT_S = 86_400.0
"""After this time a new view is the usual one."""
_GAP_S = 60.0
"""After a longer pause nothing is concluded from before it."""


@dataclass(slots=True)
class _Spell:
    """How long one fault has shown."""

    since_s: float | None = None
    looks: int = 0
    shown: int = 0
    absent_s: float | None = None
    standing: bool = False

    @property
    def begun(self) -> bool:
        """The fault shows, or did in the latest looks: what is learned now could be the fault."""
        return self.standing or self.since_s is not None

    @property
    def changing(self) -> bool:
        """The fault shows and is not reported yet, or is absent and not cleared yet."""
        return self.absent_s is not None if self.standing else self.since_s is not None

    def note(self, shows: bool, now_s: float, after_s: float, part: float) -> None:
        if self.standing:
            self.absent_s = None if shows else self.absent_s if self.absent_s is not None else now_s
            if self.absent_s is not None and now_s - self.absent_s >= _CLEAR_S:
                self.__init__()  # type: ignore[misc]
            return
        if self.since_s is None:
            if not shows:
                return
            self.since_s, self.looks, self.shown = now_s, 0, 0
        self.looks += 1
        self.shown += shows
        if self.looks >= _LEAST_LOOKS and self.shown < part * self.looks:
            self.since_s = None
        elif now_s - self.since_s >= after_s and self.looks >= _LEAST_LOOKS:
            self.standing, self.absent_s = True, None


class _Usual:
    """What the camera usually shows. The grids are kept in half precision: a device may have a thousand cameras."""

    def __init__(self, seen: PictureFeatures) -> None:
        self._edges, self._sharp = seen.edges.astype(np.float16), seen.sharp.astype(np.float16)
        self.energy, self.looks = seen.energy, 1

    @property
    def edges(self) -> Grid:
        return self._edges.astype(np.float32)

    @property
    def sharp(self) -> Grid:
        return self._sharp.astype(np.float32)

    @sharp.setter
    def sharp(self, sharp: Grid) -> None:
        self._sharp = sharp.astype(np.float16)

    def follow(self, seen: PictureFeatures, passed_s: float) -> None:
        """Move towards a picture: quickly at first, then slowly."""
        self.looks += 1
        part = np.float32(max(1 / self.looks, min(1.0, passed_s / _FOLLOW_S)))
        edges, sharp = self.edges, self.sharp
        self._edges = (edges + part * (seen.edges - edges)).astype(np.float16)
        self.energy += float(part) * (seen.energy - self.energy)
        changed = np.where(np.isnan(sharp), seen.sharp, sharp + part * (seen.sharp - sharp))
        self.sharp = np.where(np.isnan(seen.sharp), sharp, changed)


@dataclass(slots=True)
class PictureWatch:
    """The pictures of one camera. `faults`: what is wrong now, read by any thread."""

    faults: tuple[PictureFault, ...] = ()
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _last_s: float | None = None
    _every_s: float = LOOK_EVERY_S
    _usual: _Usual | None = None
    _size: tuple[int, ...] = ()
    _marks: Marks | None = None
    _tears_seen: tuple[tuple[int, int], ...] = ()
    """Row and shift of the latest tears, in cells."""
    _repeats: PictureRepeats = field(default_factory=PictureRepeats)
    _turned_since_s: float | None = None
    _spells: dict[PictureFault, _Spell] = field(default_factory=lambda: {fault: _Spell() for fault in PictureFault})

    def look(self, pixels: NDArray[np.uint8], now_s: float) -> None:
        """Judge a picture, (height, width, 3) RGB, unless one was judged just before. It never raises."""
        if self._early(now_s) or min(pixels.shape[:2]) < picture_features.LEAST_SIDE:
            return
        with self._lock:
            try:
                self._judge(picture_features.measure(pixels), pixels.shape, now_s)
            except Exception:  # the frame is answered in any case
                log.exception("a camera's picture could not be judged", extra={"kind": "picture_watch"})

    def repeated(self, now_s: float, identical: bool) -> None:
        """Note a picture that is answered without being decoded; `identical`: to the camera's last one.

        It never waits: while a worker judges another picture of this camera, this one is ignored.
        """
        if self._last_s is None or self._early(now_s) or not self._lock.acquire(blocking=False):
            return
        try:
            if self._marks is not None:
                self._note({PictureFault.FROZEN: self._repeats.note(identical, self._last_s, now_s)}, now_s)
        finally:
            self._lock.release()

    def copy(self) -> PictureWatch:
        """An independent watch that knows the same."""
        other = copy.copy(self)
        other._lock, other._usual = threading.Lock(), copy.copy(self._usual)
        other._repeats = copy.copy(self._repeats)
        other._spells = {fault: copy.copy(spell) for fault, spell in self._spells.items()}
        return other

    def _early(self, now_s: float) -> bool:
        return self._last_s is not None and now_s - self._last_s < 0.9 * self._every_s

    def _judge(self, seen: PictureFeatures, size: tuple[int, ...], now_s: float) -> None:
        if self._last_s is not None and now_s - self._last_s > _GAP_S:
            self._spells = {fault: spell if spell.standing else _Spell() for fault, spell in self._spells.items()}
            self._repeats.forget()
        if size != self._size and self._usual is not None:  # another input size has another detail
            self._usual.sharp = seen.sharp
        passed_s = 0.0 if self._last_s is None else now_s - self._last_s
        repeats = self._marks is not None and same(self._marks, seen.marks)
        shows = {PictureFault.FROZEN: self._repeats.note(repeats, self._last_s, now_s), **self._shows(seen)}
        self._size, self._marks = size, seen.marks
        self._note(shows, now_s)
        suspicious = any(shows.values()) or any(spell.begun for spell in self._spells.values())
        if self._usual is None:
            if not any(shows.values()):
                self._usual = _Usual(seen)
        elif not suspicious and not repeats:
            self._usual.follow(seen, passed_s)
        self._adopt(seen, now_s)

    def _shows(self, seen: PictureFeatures) -> dict[PictureFault, bool]:
        """Which faults this picture shows, by itself and compared with the usual view."""
        usual = self._usual
        dark = seen.bright < _DARK_BRIGHT and seen.contrast < _DARK_CONTRAST
        white = seen.white > _WHITE_PART
        known = usual is not None and usual.looks >= _LEARN_LOOKS
        covered = turned = blurred = torn = False
        if usual is not None and known and not white:
            like = likeness(seen.edges, usual.edges)
            soft = _soft(seen.sharp, usual.sharp)
            hidden = seen.energy < _COVERED_ENERGY * usual.energy
            strong = float(np.count_nonzero(seen.edges > _STRONG_TIMES * usual.energy)) / seen.edges.size
            bare = seen.energy < _BARE_ENERGY * usual.energy and like < _BARE_LIKE
            viewless = strong < _STRONG_PART and (like < _FAINT_LIKE or (like < _LIKE and (hidden or soft)))
            covered = not dark and (bare or viewless)
            turned = like < _LIKE and not covered and not dark and in_place(seen.edges, usual.edges) < _LEFT_IN_PLACE
            blurred = not dark and like > _IN_PLACE and soft and not hidden
            torn = not covered and not dark and self._tears(seen.edges, usual.edges)
        torn = torn or seen.lost > _LOST_PART
        return {
            PictureFault.COVERED: covered and not torn,
            PictureFault.TURNED: turned and not torn,
            PictureFault.BLURRED: blurred,
            PictureFault.DARK: dark,
            PictureFault.OVEREXPOSED: white,
            PictureFault.TORN: torn,
        }

    def _tears(self, edges: Grid, usual: Grid) -> bool:
        """Whether the picture is torn or rolled, in a place where it was not in the last looks."""
        place = displaced(edges, usual)
        if place is None and (down := rolled(edges, usual)) is not None:
            place = (down, 0)
        if place is None:
            return False
        wanders = all(max(abs(a - b) for a, b in zip(place, one, strict=True)) > _TEAR_NEAR for one in self._tears_seen)
        self._tears_seen = (*self._tears_seen, place)[-_TEAR_PLACES:]
        return wanders

    def _note(self, shows: Mapping[PictureFault, bool], now_s: float) -> None:
        for fault, shown in shows.items():
            spell = self._spells[fault]
            if fault is PictureFault.FROZEN:
                spell.standing = shown
            else:
                spell.note(shown, now_s, _AFTER_S[fault], _PART.get(fault, 0.8))
        self._last_s = now_s
        learning = self._usual is None or self._usual.looks < _LEARN_LOOKS
        alert = learning or self._repeats.wait or any(spell.changing for spell in self._spells.values())
        self._every_s = LOOK_EVERY_S if alert else _CALM_EVERY_S
        self.faults = tuple(fault for fault, spell in self._spells.items() if spell.standing)

    def _adopt(self, seen: PictureFeatures, now_s: float) -> None:
        """Take a view that has stayed for a day for the usual one."""
        if not self._spells[PictureFault.TURNED].standing:
            self._turned_since_s = None
        elif self._turned_since_s is None:
            self._turned_since_s = now_s
        elif now_s - self._turned_since_s >= _ADOPT_S:
            self._usual = _Usual(seen)


def _soft(sharp: Grid, usual: Grid) -> bool:
    """Whether most of the edges that are usually hard have become soft."""
    judged = (usual > _HARD) & ~np.isnan(sharp)
    count = np.count_nonzero(judged)
    return bool(count >= _LEAST_HARD and 2 * np.count_nonzero(judged & (sharp < _SOFT * usual)) > count)
