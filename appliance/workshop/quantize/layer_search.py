"""Quantize a network in trials and keep the groups of layers in floating point that need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from appliance.errors import ModelError
from appliance.ports import ReportLine
from appliance.workshop.quantize import layer_times, layers
from appliance.workshop.quantize.judge import Judge
from appliance.workshop.quantize.layers import LayerGroup, QuantizationTrial

_MOST = 3
"""The most groups tried in floating point for speed."""
_FASTER = 0.995
"""A smaller gain is within the measurement error."""


class Timer(Protocol):
    """Measures networks; layer_times.py, or a fake in tests. Times are in ms."""

    def by_group(self, networks: Sequence[Path]) -> list[dict[str, float]]: ...

    def of_inference(self, networks: Sequence[Path]) -> list[float]: ...


class Quantizer(Protocol):
    """Quantizes one network; NNCF, or a fake in tests."""

    operations: list[tuple[str, str]]
    """(name, type), in execution order."""

    def quantize(self, ignored: Sequence[str], output: Path) -> Path: ...


class LayerSearch:
    """Finds the groups of layers that are better left in floating point. `scratch`: a folder for the networks."""

    def __init__(self, quantizer: Quantizer, judge: Judge, scratch: Path, report: ReportLine) -> None:
        self._quantizer, self._judge, self._scratch, self._report = quantizer, judge, scratch, report
        self._groups = layers.groups(quantizer.operations)
        self._made = 0

    def run(self, original: Path, timer: Timer, max_drop: float, least_gain: float | None) -> QuantizationTrial:
        """The network that loses at most `max_drop` points with few groups in floating point, or else the best one.

        `least_gain`: the part of the original's time that all layers in INT8 have to save here; None: any time will do.
        Raises ModelError not_faster.
        """
        complete = self._attempt(())
        if least_gain is not None:
            self._check_faster(original, complete, timer, least_gain)
        best = layers.search(self._groups, complete, self._attempt, self._measure, max_drop)
        if best.drop is None or best.drop > max_drop:
            return best
        return self._faster(best, original, timer, max_drop)

    def _check_faster(self, original: Path, complete: QuantizationTrial, timer: Timer, least_gain: float) -> None:
        before, now = timer.of_inference([original, complete.network])
        self._report(f"  one inference: {now:.1f} ms, and {before:.1f} of the original")
        if now > before * (1 - least_gain):
            raise ModelError(
                f"INT8 is not faster on this device: {now:.1f} ms instead of {before:.1f} for one inference",
                "not_faster",
            )

    def _faster(self, best: QuantizationTrial, original: Path, timer: Timer, max_drop: float) -> QuantizationTrial:
        """Also keep groups in floating point that INT8 made slower, if the network gets faster and no less accurate."""
        before, now = timer.by_group([original, best.network])
        for group in layer_times.slower(before, now, [one for one in self._groups if one not in best.floating])[:_MOST]:
            self._report(
                f"  {group.name} is slower in INT8: {now[group.name]:.2f} ms instead of {before[group.name]:.2f}"
            )
            tried = self._attempt((*best.floating, group))
            first, second = timer.of_inference([best.network, tried.network])
            self._report(f"  with it in floating point: {second:.2f} ms an inference instead of {first:.2f}")
            if second < _FASTER * first and tried.closeness >= best.closeness:
                tried = self._measure(tried)
                best = tried if tried.drop is not None and tried.drop <= max_drop else best
        return best

    def _attempt(self, floating: tuple[LayerGroup, ...]) -> QuantizationTrial:
        self._made += 1
        network = self._quantizer.quantize(layers.names(floating), self._scratch / f"trial-{self._made}.xml")
        trial = QuantizationTrial(network, floating, self._judge.closeness(network))
        self._report(
            f"  trial {self._made}: {_floating(floating)}: closeness to the original {100 * trial.closeness:.1f} %"
        )
        return trial

    def _measure(self, trial: QuantizationTrial) -> QuantizationTrial:
        points = self._judge.points(trial.network)
        self._report(f"  {_floating(trial.floating)}: {points:.1f} points")
        return replace(trial, drop=self._judge.points_before - points)


def _floating(groups: Sequence[LayerGroup]) -> str:
    if not groups:
        return "all layers in INT8"
    shown = f"{groups[0].name} … {groups[-1].name}" if len(groups) > 3 else ", ".join(group.name for group in groups)
    return f"{shown} in floating point"
