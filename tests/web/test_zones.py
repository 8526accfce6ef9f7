"""Zones, masks and filters of a camera, over the wire."""

from __future__ import annotations

from pathlib import Path

from appliance.settings import loader
from tests.conftest import Serve
from tests.fakes import FakeEngine
from tests.web.camera import camera
from tests.web.requests import picture

SETTINGS = """
[cameras.gate.zones.left]
points = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]
[cameras.gate.masks.corner]
points = [[0.8, 0], [1, 0], [1, 0.2], [0.8, 0.2]]
[cameras.gate.filters.car]
min_confidence = 0.8
"""
ROWS = ((10, 30, 110, 120, 0.9, 0), (400, 200, 500, 300, 0.7, 1), (560, 20, 620, 60, 0.9, 0))
"""A person on the left, an uncertain car, and a person in the corner."""


async def test_detections_name_their_zones_and_masked_or_filtered_ones_are_not_reported(
    serve: Serve, tmp_path: Path
) -> None:
    toml = tmp_path / "appliance.toml"
    toml.write_text(SETTINGS)
    async with (
        serve(FakeEngine(ROWS), toml=toml) as running,
        camera(running.url, "gate") as gate,
        camera(running.url, "yard") as yard,
    ):
        for one in (gate, yard):
            await one.push({"image": picture(1), "frame_id": 1})
        found = (await gate.answer(1))[1]["detections"]
        assert [(each["name"], each["zones"]) for each in found] == [("person", ["left"])]
        everything = (await yard.answer(1))[1]["detections"]
        assert [each["name"] for each in everything] == ["person", "person", "car"]
        assert "zones" not in everything[0]

        toml.write_text(SETTINGS.replace("left", "entrance").replace("0.8", "0.6"))
        flags = {"profile": "realtime"}
        running.started.parts.changes.reload(loader.load(toml, {}, flags))
        await gate.push({"image": picture(1), "frame_id": 2})
        found = (await gate.answer(2))[1]["detections"]
        assert {(each["name"], *each["zones"]) for each in found} == {("person", "entrance"), ("car",)}


async def test_a_class_that_the_model_does_not_have_is_a_finding(serve: Serve, tmp_path: Path) -> None:
    toml = tmp_path / "appliance.toml"
    for name, expected in (("persn", True), ("person", False)):
        toml.write_text(f'[cameras.gate]\nclasses = ["{name}"]\n[cameras.gate.filters."*"]\nmin_confidence = 0.3\n')
        async with serve(FakeEngine(), toml=toml) as running:
            findings = {one["code"]: one["what"] for one in running.report()["findings"]}
            assert ("unknown_classes" in findings) is expected
            assert not expected or "persn" in findings["unknown_classes"]
