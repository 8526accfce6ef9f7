"""The demo camera."""

from __future__ import annotations

from appliance.camera.sources import open_source
from appliance.camera.sources.demo import DemoSource
from appliance.values import Size
from tests.camera.films import limits, picture_of
from tests.fakes import FakeClock


def test_the_demo_moves_and_respects_its_limits() -> None:
    assert isinstance(open_source("demo"), DemoSource)
    clock = FakeClock()
    source = DemoSource(clock)
    first = source.take(limits(1280))
    clock.pass_(1.0)
    second = source.take(limits(1280))
    assert picture_of(first.picture).size == Size(1280, 720)
    assert second.picture != first.picture
    assert second.taken_s - first.taken_s == 1.0
    smaller = source.take(limits(320, jpeg_quality=50)).picture
    assert picture_of(smaller).size == Size(320, 180)
    assert len(smaller) < len(first.picture) / 5
    assert picture_of(source.take(limits(4000)).picture).size == Size(1280, 720)
    source.close()
