"""Picture files, one after another."""

from __future__ import annotations

from pathlib import Path

from appliance import config
from appliance.still import detect_files
from appliance.values import Detected, Size
from appliance.vision import decode, scene


def test_each_picture_runs_at_the_size_that_fits_it_best(models_dir: Path, tmp_path: Path) -> None:
    paths = []
    for size in (Size(640, 360), Size(640, 480)):
        paths.append(tmp_path / f"{size.height}.jpg")
        paths[-1].write_bytes(decode.encode_jpeg(scene.draw(size)[0], 90))
    outcomes = [still.outcome for still in detect_files(config.load(flags={"model.dir": str(models_dir)}), paths)]
    assert [one.input_size for one in outcomes if isinstance(one, Detected)] == [Size(640, 384), Size(640, 480)]
