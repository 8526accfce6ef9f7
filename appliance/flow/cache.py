"""Cache answers for byte-identical pictures.

The key covers every byte, because the first kilobyte of a camera's JPEGs is the same in all of them. Bounded in entries
and bytes. Expired answers are evicted when they are looked up, and by `sweep`.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import NamedTuple

from appliance.ports import Clock
from appliance.values import Detected, Detection, ResultFilter, Size


class Key(NamedTuple):
    """What two frames must have in common to get the same answer."""

    digest: bytes
    input_size: Size
    """The best size for the picture. An answer computed at another size is not cached."""


_BYTES_OF_AN_ANSWER = 600
_BYTES_OF_A_POINT = 120
"""A tuple of two floats, and its slot in another tuple."""
_BYTES_OF_A_DETECTION = 350
"""Measured with tracemalloc on CPython 3.11: a Detection with its Box, floats and tuple slot."""


def key_of(data: bytes, model: str, input_size: Size, wanted: ResultFilter) -> Key:
    """A 256-bit digest of everything that determines an answer: bytes, model, input size, options."""
    classes = "*" if wanted.classes is None else ",".join(sorted(wanted.classes))
    digest = hashlib.blake2b(data, digest_size=32)
    digest.update(f"|{model}|{wanted.min_confidence}|{classes}|{wanted.view.digest}".encode())
    return Key(digest.digest(), input_size)


@dataclass(slots=True)
class _Entry:
    answer: Detected
    stored_s: float
    cost_bytes: int


class Cache:
    """The latest answers; the oldest are evicted first."""

    def __init__(self, *, entries: int, max_bytes: int, ttl_s: float, clock: Clock) -> None:
        self._bounds = entries, max_bytes
        self._most_entries, self._most_bytes, self._ttl_s, self._clock = entries, max_bytes, ttl_s, clock
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Detected | None:
        """The cached answer, if it has not expired."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._clock() - entry.stored_s > self._ttl_s:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return _older(entry.answer, self._clock() - entry.stored_s)

    def put(self, key: Key, answer: Detected) -> None:
        """Cache an answer computed at the key's input size, and evict old ones to stay within the limits."""
        if answer.input_size != key.input_size:
            return
        if key in self._entries:
            self._drop(key)
        cost = _BYTES_OF_AN_ANSWER + sum(_cost_bytes(one) for one in answer.detections)
        if cost > self._most_bytes:
            return
        self._entries[key] = _Entry(answer, self._clock(), cost)
        self.bytes += cost
        self._keep_bounds()

    def shrink(self, part: float) -> None:
        """Use this part (0-1) of the limits from now on; 1: the full limits."""
        self._most_entries, self._most_bytes = (int(bound * part) for bound in self._bounds)
        self._keep_bounds()

    def sweep(self) -> None:
        """Evict expired answers."""
        now = self._clock()
        for key in [key for key, entry in self._entries.items() if now - entry.stored_s > self._ttl_s]:
            self._drop(key)

    def _keep_bounds(self) -> None:
        while len(self._entries) > self._most_entries or self.bytes > self._most_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Key) -> None:
        self.bytes -= self._entries.pop(key).cost_bytes


def _older(answer: Detected, by_s: float) -> Detected:
    """The answer later: what was not found in its picture gets older, the rest is there as in any equal picture."""
    if not any(one.age_s for one in answer.detections):
        return answer
    return replace(answer, detections=tuple(one.older(by_s) if one.age_s else one for one in answer.detections))


def _cost_bytes(one: Detection) -> int:
    points = sum(len(places) for places in (one.outline_px, one.keypoints_px, one.corners_px) if places is not None)
    return _BYTES_OF_A_DETECTION + _BYTES_OF_A_POINT * points
