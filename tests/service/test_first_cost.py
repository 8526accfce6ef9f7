"""On a device that was measured with `appliance bench`, the cost of a frame is known before the first one."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.device import profile
from tests.commands.bench.reports import rung
from tests.conftest import Serve
from tests.fakes import FakeEngine, fake_network


def write_profile(models_dir: Path, *, machine: str | None = None) -> None:
    """Write a profile for the fake engine: 400 ms per frame at 640 px, 100 ms at 320 px."""
    subject = profile.subject_of(fake_network(FakeEngine()).info)
    if machine is not None:
        subject = profile.Subject(machine, subject.model, subject.engine)
    rungs = rung(640, 2.5), rung(320, 10.0)
    profile.write(
        profile.path_in(models_dir, subject.model), profile.DeviceProfile(subject, "f32", "2026-01-02", rungs)
    )


async def first_interval_s(serve: Serve, models_dir: Path, **flags: str) -> float:
    """The interval that a camera is asked for before the first inference."""
    engine = FakeEngine(slots=1)
    engine.hold()
    async with serve(engine, model__dir=str(models_dir), **flags) as running:
        pace = running.started.parts.path.pace
        return pace.preview().min_interval_s


@pytest.mark.parametrize(("side", "cost_s"), [("640", 0.4), ("320", 0.1)])
async def test_the_limits_of_the_first_camera_match_the_measurement(
    side: str, cost_s: float, serve: Serve, tmp_path: Path
) -> None:
    default_s = await first_interval_s(serve, tmp_path, flow__max_side=side)
    write_profile(tmp_path)
    measured_s = await first_interval_s(serve, tmp_path, flow__max_side=side)
    assert measured_s / default_s == pytest.approx(cost_s / 0.05, rel=0.01)


async def test_the_profile_of_another_machine_is_ignored(serve: Serve, tmp_path: Path) -> None:
    default_s = await first_interval_s(serve, tmp_path)
    write_profile(tmp_path, machine="another device")
    assert await first_interval_s(serve, tmp_path) == default_s
