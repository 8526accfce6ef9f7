"""Measure each input size, save the profile, and then optionally soak the device at the largest size."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from appliance.commands.bench.load import FullLoad
from appliance.commands.bench.plan import Plan
from appliance.commands.bench.progress import Progress
from appliance.commands.bench.report import BenchReport, Minute
from appliance.device import profile
from appliance.device.profile import DeviceProfile, Rung
from appliance.device.sensors import throttle
from appliance.device.sensors.machine import MachineSensors
from appliance.errors import EngineError, ModelError
from appliance.flow.inference import Inference, Network
from appliance.ports import Sensors
from appliance.service.loading import load_network
from appliance.settings.schema import Settings
from appliance.values import Picture, ResultFilter, Size
from appliance.vision import decode, scene

if TYPE_CHECKING:
    from appliance.service.parts import LoadNetwork

IMAGE = Size(1280, 720)
"""The picture size of most cameras."""

_WARM_S = 1.0
_MINUTE_S = 60.0


def expected_s(settings: Settings, plan: Plan) -> float:
    """The expected duration, without compiling."""
    rungs = len(plan.sides) * len(_names(settings)) * len({settings.engine.kind, *plan.engines})
    return rungs * (plan.seconds + _warm_s(plan)) + plan.soak_s


def measure(
    settings: Settings, plan: Plan, progress: Progress, load: LoadNetwork = partial(load_network, prepare=False)
) -> BenchReport:
    """Measure everything in the plan and save each profile in the model folder as soon as it is complete.

    The configured engine and model come first, then the INT8 version (NAME-int8) if there is one, then both on the
    plan's other engines. Only the configured engine's profiles are saved. Raises ModelError and EngineError.
    """
    report = BenchReport((), settings.flow.max_side)
    bench = _Bench(plan, _picture(settings), ResultFilter(settings.model.min_confidence), MachineSensors(), progress)
    own = settings.engine.kind
    others = [kind for kind in plan.engines if kind != own]
    for kind, name in ((kind, name) for kind in (own, *others) for name in _names(settings)):
        one = _with_model(settings, name, plan, kind)
        try:
            measured = bench.profile(load(one))
        except (ModelError, EngineError) as error:
            if (kind, name) == (own, settings.model.name):
                raise
            where = "" if kind == own else f" on {kind}"
            progress.line(f"{name}{where} skipped: {error}")
            continue
        if kind == own:
            _save(measured, one, progress)
        report = replace(report, profiles=(*report.profiles, measured))
    if plan.soak_s:
        minutes = bench.soak(load(_with_model(settings, settings.model.name, plan, own)))
        report = replace(report, soak=tuple(_until_interrupted(minutes, progress)))
    return report


def measure_one(settings: Settings, name: str, kind: str, plan: Plan, progress: Progress) -> DeviceProfile:
    """Measure one model on one engine, and save nothing. Raises ModelError and EngineError."""
    bench = _Bench(plan, _picture(settings), ResultFilter(settings.model.min_confidence), MachineSensors(), progress)
    return bench.profile(load_network(_with_model(settings, name, plan, kind), prepare=False))


@dataclass(frozen=True, slots=True)
class _Bench:
    """Runs one picture through networks, as the plan says."""

    plan: Plan
    picture: Picture
    result_filter: ResultFilter
    sensors: Sensors
    progress: Progress

    def profile(self, network: Network) -> DeviceProfile:
        """Measure all sizes of a network, then close it."""
        rungs: dict[Size, Rung] = {}
        with closing(network):
            for side in self.plan.sides:
                size = network.sizes.best(self.picture.size, side)
                if size in rungs:  # a model of one fixed size
                    self.progress.advance(self.plan.seconds + _warm_s(self.plan))
                    continue
                self.progress.stage(f"{network.info.name} {size.width}x{size.height}")
                rungs[size] = self._rung(network, size, side)
                self.progress.line(_one_line(network.info.name, rungs[size]))
            configured = network.info.precision
            precision = network.engine.precision if configured == "auto" else configured
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return DeviceProfile(profile.subject_of(network.info), precision, now, tuple(rungs.values()))

    def soak(self, network: Network) -> Iterator[Minute]:
        """Run the largest size for a long time, minute by minute, then close the network."""
        side = self.plan.sides[0]
        size = network.sizes.best(self.picture.size, side)
        with closing(network), self._full_load(network, size, side) as load:
            at_s = 0.0
            while at_s < self.plan.soak_s:
                self.progress.stage(f"soaking at {size.width}x{size.height}, minute {at_s / _MINUTE_S + 1:.0f}")
                before = throttle.read()
                window = load.window(min(_MINUTE_S, self.plan.soak_s - at_s), self.progress.advance)
                at_s += window.seconds
                temp_c, after = self.sensors.read().thermal.soc_temp_c, throttle.read()
                slowed = throttle.slowed(before, after)
                yield Minute(round(at_s, 1), round(window.fps, 2), temp_c, after.mhz, slowed, window.others_percent)

    def _rung(self, network: Network, size: Size, side: int) -> Rung:
        bytes_before = self.sensors.read().memory.resident_bytes or 0
        with self._full_load(network, size, side) as load:
            load.window(_warm_s(self.plan), self.progress.advance)
            before = throttle.read()
            window = load.window(self.plan.seconds, self.progress.advance)
            reading, after = self.sensors.read(), throttle.read()  # under load: a moment later the clock drops
        resident_bytes = reading.memory.resident_bytes or 0
        return Rung(
            side=side,
            size=size,
            frame_ms=round(window.frame_ms, 2),
            infer_ms=round(window.infer_ms, 2),
            cpu_ms=round(window.cpu_ms, 2),
            fps=round(window.fps, 2),
            added_bytes=resident_bytes - bytes_before,
            resident_bytes=resident_bytes,
            temp_c=reading.thermal.soc_temp_c,
            mhz=after.mhz,
            throttled=throttle.slowed(before, after),
            others_percent=window.others_percent,
        )

    def _full_load(self, network: Network, size: Size, side: int) -> FullLoad:
        network.engine.prepare(size)  # the number of concurrent frames is known only afterwards
        return FullLoad(Inference(network, clock=time.monotonic), self.picture, side, self.result_filter)


def _names(settings: Settings) -> list[str]:
    name = settings.model.name
    both = [name, f"{name}-int8"]
    return both if (Path(settings.model.dir) / both[1]).is_dir() else [name]


def _with_model(settings: Settings, name: str, plan: Plan, kind: str) -> Settings:
    """The settings with this model and engine, and a cache that holds all sizes of the plan."""
    engine = structs.replace(settings.engine, kind=kind, sizes=max(settings.engine.sizes, min(32, len(plan.sides))))
    return structs.replace(settings, model=structs.replace(settings.model, name=name), engine=engine)


def _picture(settings: Settings) -> Picture:
    pixels, _ = scene.draw(IMAGE)
    return decode.read_header(decode.encode_jpeg(pixels, settings.flow.jpeg_quality), IMAGE.width * IMAGE.height)


def _until_interrupted(minutes: Iterator[Minute], progress: Progress) -> Iterator[Minute]:
    """End a soak early on Ctrl-C and keep the minutes so far."""
    try:
        for minute in minutes:
            temp = "" if minute.temp_c is None else f", {minute.temp_c:.0f} °C"
            progress.line(f"{minute.at_s / 60:5.1f} min: {minute.fps:.1f} fps{temp}")
            yield minute
    except KeyboardInterrupt:
        progress.line("stopped early")


def _save(measured: DeviceProfile, settings: Settings, progress: Progress) -> None:
    path = profile.path_in(Path(settings.model.dir), settings.model.name)
    try:
        profile.write(path, measured)
    except OSError as error:
        progress.line(f"{path} cannot be written ({error.strerror}); the service cannot use these results")


def _one_line(name: str, rung: Rung) -> str:
    return f"{name} {rung.size.width}x{rung.size.height}: {rung.frame_ms:.1f} ms per frame, {rung.fps:.1f} fps"


def _warm_s(plan: Plan) -> float:
    return min(_WARM_S, plan.seconds / 5)
