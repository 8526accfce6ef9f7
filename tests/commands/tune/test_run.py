"""The steps of `appliance tune`, with the power cut at each of them."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest

from appliance.commands.bench.progress import Progress
from appliance.commands.tune.acts import kept_frames, wait_until_quiet
from appliance.commands.tune.journal import FILE, Journal
from appliance.commands.tune.run import Acts, Measured, TuneSubject, tune
from appliance.errors import ApplianceError, EngineError, ModelError
from appliance.settings import loader
from tests.workshop.fakes import make_pictures

SUBJECT = TuneSubject("yard", "yard-int8", "yard", "openvino", ("mnn", "tensorrt"))
COSTS = {("openvino", "yard"): 20.0, ("openvino", "yard-int8"): 12.0, ("mnn", "yard"): 9.0}


class PowerCut(BaseException):
    """Ends the process."""


class Device:
    """A device on which INT8 can be made. `cut_at`: the act at which the power fails; `before` or after its effect."""

    def __init__(self, cut_at: int = -1, *, before: bool = True) -> None:
        self.int8 = False
        self.active = "yard"
        self.done: Counter[str] = Counter()
        self.lines: list[str] = []
        self.waits = 0
        self._cut_at, self._before, self._count = cut_at, before, 0

    def acts(self) -> Acts:
        return Acts(
            self._wait, self._make_int8, lambda: self.int8, self._measure, self._agreement, self._activate,
            lambda _: None, self.lines.append,
        )  # fmt: skip

    def _wait(self) -> None:
        self.waits += 1

    def _step(self, name: str, *, before: bool) -> None:
        """Called before and after each effect."""
        if before:
            self._count += 1
        if self._count == self._cut_at and before == self._before:
            self._cut_at = -1
            raise PowerCut
        if not before:
            self.done[name] += 1

    def _make_int8(self) -> str:
        self._step("int8", before=True)
        self.int8 = True
        self._step("int8", before=False)
        return "made yard-int8"

    def _measure(self, engine: str, model: str) -> Measured:
        self._step(f"{model} on {engine}", before=True)
        if (engine, model) not in COSTS:
            raise EngineError(f"{engine} is not installed")
        self._step(f"{model} on {engine}", before=False)
        return Measured(COSTS[engine, model], 1000 / COSTS[engine, model])

    def _agreement(self, engine: str, model: str) -> float | None:
        self._step(f"{model} like {engine}", before=True)
        self._step(f"{model} like {engine}", before=False)
        return 96.0

    def _activate(self, name: str) -> None:
        self._step("activate", before=True)
        self.active = name
        self._step("activate", before=False)


def run(device: Device, folder: Path, subject: TuneSubject = SUBJECT) -> str | None:
    choice = tune(subject, Journal(folder / FILE, "yard here"), device.acts())
    return choice.best.model if choice else None


def test_the_faster_int8_model_is_activated_and_a_faster_engine_suggested(tmp_path: Path) -> None:
    device = Device()
    assert run(device, tmp_path) == "yard-int8"
    assert device.active == "yard-int8"
    assert "yard on tensorrt: skipped: tensorrt is not installed" in device.lines
    assert device.lines[-1].startswith("mnn takes 9.0 ms of CPU time a frame instead of 12.0. To use it: engine.kind")
    assert device.waits == sum(device.done.values()) + 1  # one of the engines is missing


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("cut_at", range(1, 9))
def test_after_a_power_cut_each_finished_step_is_kept(tmp_path: Path, cut_at: int, before: bool) -> None:
    device = Device(cut_at, before=before)
    try:
        run(device, tmp_path)
    except PowerCut:
        cut = dict(device.done)
        assert run(device, tmp_path) == "yard-int8"
        assert all(device.done[name] == times for name, times in cut.items())
    assert device.active == "yard-int8"
    assert max(device.done.values()) == 1


def test_a_second_run_measures_again(tmp_path: Path) -> None:
    run(Device(), tmp_path)
    device = Device()
    run(device, tmp_path)
    assert device.done["yard on openvino"] == 1


def test_without_an_int8_model_the_float_one_stays(tmp_path: Path) -> None:
    device = Device()

    def fails() -> str:
        raise ModelError("INT8 loses 3.0 points", "model_accuracy")

    device._make_int8 = fails  # type: ignore[method-assign]
    assert run(device, tmp_path) == "yard"
    assert "INT8: not made: INT8 loses 3.0 points" in device.lines
    assert device.done["activate"] == 0


def test_results_of_another_model_or_machine_and_damaged_ones_are_not_used(tmp_path: Path) -> None:
    run(Device(), tmp_path)
    assert Journal(tmp_path / FILE, "gate here").result("before") is None
    (tmp_path / FILE).write_bytes(b'{"subject": 3')
    device = Device()
    run(device, tmp_path)
    assert device.done["yard on openvino"] == 1


def test_the_undo_of_a_finished_run_knows_both_models(tmp_path: Path) -> None:
    run(Device(), tmp_path)
    journal = Journal(tmp_path / FILE, "yard here")
    assert (journal.finished, journal.result("before"), journal.result("activate")) == (True, "yard", "yard-int8")


def test_it_waits_until_the_device_is_quiet_and_says_why() -> None:
    output = io.StringIO()
    reasons = iter(["cameras are sending", "cameras are sending", "the chip is at 80 °C", None])
    slept: list[float] = []
    wait_until_quiet(lambda: next(reasons), Progress(output, 1), slept.append)
    assert output.getvalue() == "waiting: cameras are sending\nwaiting: the chip is at 80 °C\n"
    assert len(slept) == 3


def test_it_does_not_wait_for_ever() -> None:
    with pytest.raises(ApplianceError, match="not quiet for an hour"):
        wait_until_quiet(lambda: "cameras are sending", Progress(io.StringIO(), 1), lambda _: None)


def test_the_frames_that_the_service_has_kept_are_used_when_there_are_enough(tmp_path: Path) -> None:
    settings = loader.load(flags={"state.dir": str(tmp_path)})
    make_pictures(tmp_path / "calibration-frames", 7)
    assert kept_frames(settings) is None
    make_pictures(tmp_path / "calibration-frames", 8)
    assert kept_frames(settings) == tmp_path / "calibration-frames"
