"""Measure how much accuracy a quantized network loses, on the evaluation pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from appliance.values import Size
from appliance.vision import likeness
from appliance.vision.likeness import DetectionsByImage
from appliance.workshop.quantize import accuracy
from appliance.workshop.quantize.accuracy import Label
from appliance.workshop.quantize.calibration import CalibrationSample

_QUICK_SIZES = 3
_QUICK_PICTURES = 32

Predict = Callable[[Path, Sequence[CalibrationSample]], DetectionsByImage]
"""The detections of the network in this file, run as the service runs it."""


class Judge:
    """Compares networks with the original. `truth`: the labels; None: the original's detections are the reference."""

    def __init__(
        self,
        original: Path,
        held_out: Sequence[CalibrationSample],
        truth: Sequence[Sequence[Label]] | None,
        predict: Predict,
        size_of: Callable[[CalibrationSample], Size],
    ) -> None:
        self._held_out, self._truth, self._predict = held_out, truth, predict
        self._original = predict(original, held_out)
        self.measure = "likeness" if truth is None else "map50_95"
        self.points_before = self._points(self._original)
        self._quick = _of_common_sizes([size_of(sample) for sample in held_out])

    def points(self, network: Path) -> float:
        """The accuracy of a network by `measure`, 0-100."""
        return self._points(self._predict(network, self._held_out))

    def closeness(self, network: Path) -> float:
        """How close its boxes and confidences are to the original's, 0-1; needs no labels and few pictures."""
        found = self._predict(network, [self._held_out[place] for place in self._quick])
        return likeness.closeness(found, [self._original[place] for place in self._quick])

    def _points(self, found: DetectionsByImage) -> float:
        if self._truth is None:
            return 100 * likeness.likeness(found, self._original)
        return 100 * accuracy.mean_average_precision(found, self._truth)


def _of_common_sizes(sizes: Sequence[Size]) -> list[int]:
    """The indices of some pictures with the most common input sizes: each size costs a compilation."""
    common = {size for size, _ in Counter(sizes).most_common(_QUICK_SIZES)}
    return [index for index, size in enumerate(sizes) if size in common][:_QUICK_PICTURES]
