"""Crops of many cameras: remember each camera's scene, say what to look at in a frame, and combine what was found.

Rules of this file:
- Thread-safe. Frames of one camera may run at the same time; an older frame never replaces the knowledge of a newer.
- Memory is bounded: the scenes of MOST_CAMERAS cameras, about 100 kB each. Another camera's frames run as a whole.
- Crops and overviews have the same input size, so they share one compiled network.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from appliance.camera_names import is_of_service
from appliance.flow.crops import choose, motion
from appliance.flow.crops.choose import KEEP_S, Costs, LookPlan, Region
from appliance.flow.crops.knowledge import Evidence, Knowledge, KnownObject, SceneRequest, nothing
from appliance.flow.crops.merge import Look, corners, merge, overlaps, shows_again, whole_objects
from appliance.values import Box, Detection, Frame, Size
from appliance.vision import letterbox, view
from appliance.vision.letterbox import Placing
from appliance.vision.picture_features import Grid
from appliance.vision.thumbnail import Cells
from appliance.vision.window import PicturePart

MOST_CAMERAS = 64
_LEAST_GAIN = 1.25
"""Crops need a picture that is larger than the whole's input by this factor: otherwise they show no more detail."""
_LEAST_SIDE = 128
_MOVED_S, _MOVED_FAST_S = 0.6, 0.3
"""An object whose place has changed since is reported for this long only; and where objects move fast."""
_SURE, _FOUND, _SAME = 0.35, 0.25, 0.4
"""Confidence of an object that the other look should have, confidence there, and their IoU."""
_FADE = 0.95
_AGAIN_S, _FADE_AGAIN = 0.5, 0.97
"""Objects that are looked at again within this time show how quickly places change."""
_STAYS = 0.67
"""The part of its box that an object still covers where its place counts as right: an IoU of one half."""
_CARRIED = 0.1
"""An object is reported without a look only if its confidence is this far above the least that is wanted."""
_EACH = 0.07
"""Cost of each inference that does not depend on its size, relative to the whole picture."""


@dataclass(frozen=True, slots=True)
class Views:
    """What to look at in one frame."""

    windows: tuple[PicturePart, ...]
    plan: LookPlan
    changed: Grid
    cells: Cells

    @property
    def regions(self) -> tuple[Box, ...]:
        """The windows in the picture's pixels; empty: the whole picture alone."""
        alone = self.plan.whole and len(self.windows) == 1
        return () if alone else tuple(window.box_px for window in self.windows)


class Crops:
    """Decides where to look, for each camera. `placing`: of the network."""

    def __init__(self, placing: Placing = "centre") -> None:
        self._placing = placing
        self._lock = threading.Lock()
        self._scenes: OrderedDict[str, Knowledge] = OrderedDict()

    @property
    def cameras(self) -> int:
        """How many cameras' scenes are remembered."""
        return len(self._scenes)

    def evidence(self, camera: str) -> Evidence:
        """What is known of whether crops pay for a camera."""
        with self._lock:
            scene = self._scenes.get(camera)
        return scene.evidence if scene is not None else Evidence()

    def applies(self, frame: Frame, whole: Size, crop: Size) -> bool:
        """Whether crops can show more of this frame than the whole picture at its input size."""
        picture = frame.picture
        larger = max(picture.size.width / whole.width, picture.size.height / whole.height) >= _LEAST_GAIN
        smaller = max(crop.width, crop.height) >= _LEAST_SIDE and crop.width * crop.height < whole.width * whole.height
        fits = crop.width <= picture.size.width and crop.height <= picture.size.height
        if not (picture.plain_jpeg and larger and smaller and fits) or is_of_service(frame.camera):
            return False
        with self._lock:
            scene = self._scenes.get(frame.camera)
            if scene is None or scene.rest == 0:
                return True
            self._scenes[frame.camera] = replace(scene, rest=scene.rest - 1)
            return False

    def plan(self, frame: Frame, cells: Cells, whole: Size, crop: Size, *, audits: bool) -> Views:
        """What to look at. `whole`, `crop`: input sizes. `audits`: a frame may cost more than the whole picture."""
        size, now_s = frame.picture.size, frame.received_s
        request = SceneRequest(frame.wanted, size, whole)
        with self._lock:
            before = self._scenes.get(frame.camera)
        if before is None or before.request != request or before.reference.shape != cells.shape:
            before = nothing(request, cells)
        changed = motion.changes(before.reference, cells)
        changed[view.covered(frame.wanted.view, changed.shape)] = 0
        costs = Costs(size, crop, crop.width * crop.height / (whole.width * whole.height) + _EACH)
        plan = choose.choose(before, changed, now_s, costs, audits=audits)
        windows = [PicturePart(0, 0, letterbox.fit(size, whole, self._placing))] if plan.whole else []
        windows += [PicturePart(0, 0, letterbox.fit(size, crop, self._placing))] if plan.overview else []
        windows += [_window(region, crop, self._placing) for region in plan.crops]
        return Views(tuple(windows), plan, changed, cells)

    def conclude(self, frame: Frame, views: Views, found: Sequence[tuple[Detection, ...]]) -> tuple[Detection, ...]:
        """Combine what was found in the windows with what was known; remember it, and return it for the answer."""
        size, now_s, before = frame.picture.size, frame.received_s, views.plan.before
        looks = [
            Look(window, window.to_picture(one)) for window, one in zip(views.windows, found, strict=True)
        ]  # fmt: skip
        merged = merge(_still_there(before.known, views, size, now_s), looks, now_s, size)
        evidence = _moves(before.evidence, before.known, views, looks, size, now_s)
        after = _looked(replace(before, at_s=now_s, known=merged, evidence=evidence), views, looks, size, now_s)
        with self._lock:
            last = self._scenes.get(frame.camera)
            if last is None or last.at_s <= now_s:
                self._scenes[frame.camera] = after
                self._scenes.move_to_end(frame.camera)
            if len(self._scenes) > MOST_CAMERAS:
                self._scenes.popitem(last=False)
        return tuple(
            replace(one.detection, age_s=round(now_s - one.seen_s, 2)) if one.seen_s < now_s else one.detection
            for one in merged
        )


def _window(region: Region, crop: Size, placing: Placing) -> PicturePart:
    return PicturePart(region.left, region.top, letterbox.fit(Size(region.width, region.height), crop, placing))


def _still_there(known: Sequence[KnownObject], views: Views, size: Size, now_s: float) -> list[KnownObject]:
    """What may be reported again without a look."""
    least = views.plan.before.request.wanted.min_confidence + _CARRIED
    moved_s = _MOVED_FAST_S if views.plan.before.evidence.restless else _MOVED_S
    kept = []
    for one in known:
        age_s = now_s - one.seen_s
        moved = age_s > moved_s and _has_changed(one.detection.box_px, views.changed, size)
        if age_s <= KEEP_S and not moved and one.detection.confidence >= least:
            kept.append(one)
    return kept


def _has_changed(box: Box, changed: Grid, size: Size) -> bool:
    return float(changed[choose.cells_under(box, changed.shape, size)].mean()) > 0.3


def _moves(
    evidence: Evidence, known: Sequence[KnownObject], views: Views, looks: Sequence[Look], size: Size, now_s: float
) -> Evidence:
    """Count the objects that were looked at again, and those that move too fast to be looked at less."""
    for one in known:
        age_s, look = now_s - one.seen_s, next((look for look in looks if shows_again(look.window, one)), None)
        if look is None or not 0 < age_s <= _AGAIN_S:
            continue
        moved = _has_changed(one.detection.box_px, views.changed, size) and not _stays(one.detection, look.found, age_s)
        evidence = replace(
            evidence, moved=evidence.moved * _FADE_AGAIN + moved, again=evidence.again * _FADE_AGAIN + 1
        )  # fmt: skip
    return evidence


def _stays(one: Detection, found: Sequence[Detection], age_s: float) -> bool:
    """Whether an object that was seen `age_s` ago was found again, so slow that its place is good for SOON_S."""
    boxes = corners([one.box_px, *(other.box_px for other in found if other.class_id == one.class_id)])
    sides = boxes[0, 2:] - boxes[0, :2]
    centres = (boxes[:, 2:] + boxes[:, :2]) / 2
    shifts = np.abs(centres[1:] - centres[0]) * (choose.SOON_S / age_s) / np.maximum(sides, 1.0)
    shared = np.clip(1 - shifts, 0, None).prod(axis=1)
    return bool((shared >= _STAYS).any())


def _looked(after: Knowledge, views: Views, looks: Sequence[Look], size: Size, now_s: float) -> Knowledge:
    """Note where the camera was looked at, where nothing was found, and what only the crops found."""
    reference, seen_s, barren = after.reference.copy(), after.seen_s.copy(), after.barren.copy()
    shape = (seen_s.shape[0], seen_s.shape[1])
    if views.plan.whole:
        reference = views.cells
        after = replace(after, whole_s=now_s)
    crops = looks[len(looks) - len(views.plan.crops) :]
    for region, look in zip(views.plan.crops, crops, strict=True):
        cells = choose.cells_of(region, shape, size)
        empty = _without_objects(look, shape, size)[cells]
        moved = views.changed[cells] > 0.3
        barren[cells] = np.where(moved, 0.8 * barren[cells] + 0.2 * empty, 0.99 * barren[cells])
        reference[cells], seen_s[cells] = views.cells[cells], now_s
    if views.plan.whole and crops:
        after = replace(after, evidence=compare(after.evidence, looks[0], crops, size))
    return replace(after, reference=reference, seen_s=seen_s, barren=barren)


def _without_objects(look: Look, shape: tuple[int, int], size: Size) -> Grid:
    empty = np.ones(shape, np.float32)
    for one in look.found:
        empty[choose.cells_under(one.box_px, shape, size, margin=1)] = 0
    return empty


def compare(evidence: Evidence, whole: Look, crops: Sequence[Look], size: Size) -> Evidence:
    """Count the objects in the crops that only the crops show, in a frame of which the whole was looked at too."""
    for crop in crops:
        ours, area = whole_objects(crop, size), crop.window.box_px
        theirs = [
            one for one in whole.found
            if one.box_px.x1 >= area.x1 and one.box_px.y1 >= area.y1
            and one.box_px.x2 <= area.x2 and one.box_px.y2 <= area.y2
        ]  # fmt: skip
        alone, missed = _unmatched(ours, whole.found), _unmatched(theirs, ours)
        sure = sum(one.confidence >= _SURE for one in ours) + missed
        evidence = replace(
            evidence,
            only_crops=evidence.only_crops * _FADE + alone,
            all=evidence.all * _FADE + sure,
            counted=evidence.counted + sure,
        )
    return evidence


def _unmatched(these: Sequence[Detection], others: Sequence[Detection]) -> int:
    """How many confident ones of these the others do not have."""
    sure = [one for one in these if one.confidence >= _SURE]
    found = [one for one in others if one.confidence >= _FOUND]
    if not sure or not found:
        return len(sure)
    a, b = (corners([one.box_px for one in group]) for group in (sure, found))
    return int((overlaps(a, b)[0].max(axis=1) < _SAME).sum())
