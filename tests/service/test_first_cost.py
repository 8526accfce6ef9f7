"""A box that was measured with `appliance bench` knows what a frame costs before the first one comes."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.device import profile
from tests.commands.bench.reports import rung
from tests.conftest import Serve
from tests.fakes import FakeEngine, fake_network


def keep(models_dir: Path, *, machine: str | None = None) -> None:
    """A profile for the fake engine: 400 ms a frame at 640 px, 100 ms at 320 px."""
    subject = profile.subject_of(fake_network(FakeEngine()).info)
    if machine is not None:
        subject = profile.Subject(machine, subject.model, subject.engine)
    rungs = rung(640, 2.5), rung(320, 10.0)
    profile.write(
        profile.path_in(models_dir, subject.model), profile.DeviceProfile(subject, "f32", "2026-01-02", rungs)
    )


async def first_interval_s(serve: Serve, models_dir: Path, **flags: str) -> float:
    """What a camera is asked for while no frame has been inferred."""
    engine = FakeEngine(slots=1)
    engine.hold()
    async with serve(engine, model__dir=str(models_dir), **flags) as running:
        pace = running.started.parts.path.pace
        return pace.preview().min_interval_s


@pytest.mark.parametrize(("side", "cost_s"), [("640", 0.4), ("320", 0.1)])
async def test_the_first_camera_is_told_what_was_measured(
    side: str, cost_s: float, serve: Serve, tmp_path: Path
) -> None:
    guessed_s = await first_interval_s(serve, tmp_path, flow__max_side=side)
    keep(tmp_path)
    measured_s = await first_interval_s(serve, tmp_path, flow__max_side=side)
    assert measured_s / guessed_s == pytest.approx(cost_s / 0.05, rel=0.01)


async def test_figures_of_another_machine_are_not_believed(serve: Serve, tmp_path: Path) -> None:
    guessed_s = await first_interval_s(serve, tmp_path)
    keep(tmp_path, machine="another box")
    assert await first_interval_s(serve, tmp_path) == guessed_s
