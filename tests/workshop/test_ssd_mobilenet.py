"""SSD MobileNetV3: anchors and rejected files; with the real file, detections."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from appliance.errors import ModelError
from appliance.flow.trial import try_out
from appliance.service import loading
from appliance.settings.loader import load
from appliance.values import Size
from appliance.workshop import known_models, ssd_mobilenet
from appliance.workshop.fetch import fetch


def test_anchors_match_its_training() -> None:
    """The sizes that its graph for OpenCV contains (PriorBox_0 and PriorBox_1), px."""
    rows = ssd_mobilenet.anchors()
    assert rows.shape == (3 * 20 * 20 + 6 * (10 * 10 + 5 * 5 + 3 * 3 + 2 * 2 + 1), 4)
    np.testing.assert_allclose(rows[:3, 2], [32, 90.5096679919, 45.2548339959], rtol=1e-5)
    np.testing.assert_allclose(rows[:3, 3], [32, 45.2548339959, 90.5096679919], rtol=1e-5)
    np.testing.assert_allclose(rows[0:6:3, :2], [[8, 8], [24, 8]])
    second = rows[1200:1206]
    heights = [112, 79.1959594929, 158.391918986, 64.6632301492, 193.99939066, 133.865604245]
    np.testing.assert_allclose(second[:, 3], heights, rtol=1e-5)
    np.testing.assert_allclose(second[:, :2], 16)
    np.testing.assert_allclose(rows[-1], [160, 160, 320 * 0.95**0.5, 320 * 0.95**0.5], rtol=1e-5)


def test_another_network_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "model.pb").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="is not the published ssd-mobilenet-v3") as caught:
        ssd_mobilenet.build(tmp_path / "model.pb", tmp_path / "out", "a test")
    assert caught.value.code == "model_unsupported"
    assert not (tmp_path / "out").exists()


def test_it_finds_the_drawn_sign(tmp_path: Path) -> None:
    try:
        made = fetch(tmp_path, print, model=known_models.SSD_MOBILENET)
    except ModelError as error:
        pytest.skip(f"NOT TESTED: the file cannot be downloaded here: {error}")
    assert (made.license, made.head, made.fixed_size) == ("Apache-2.0", "anchors", Size(320, 320))
    assert made.placing == "stretch"
    settings = load(flags={"model.dir": str(tmp_path), "model.name": made.name})
    inference = loading.inference_of(settings, loading.load_network(settings), lambda: 0.0)
    trial = try_out(inference, None, [], 320, lambda: 0.0)
    inference.close()
    assert trial.sign_problem is None
