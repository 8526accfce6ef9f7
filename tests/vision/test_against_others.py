"""The same raw outputs give the same objects as other implementations, recorded by other_results.py."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.ports import Raw
from appliance.values import ResultFilter, Size
from appliance.vision.heads import Reader
from appliance.vision.letterbox import fit

RECORDED: dict[str, NDArray[Any]] = dict(np.load(Path(__file__).parent / "other_results.npz"))
INPUT, LEAST, IOU = Size(96, 64), 0.3, 0.45
CLASSES = ("0", "1", "2")


def found(head: str, raw: Raw) -> NDArray[np.float32]:
    """One row for each object, by descending confidence: class, confidence, box."""
    seen = Reader(head, CLASSES, IOU, 300).read(raw, fit(INPUT, INPUT), ResultFilter(LEAST))
    rows = [[one.class_id, one.confidence, *astuple(one.box_px)] for one in seen]
    return np.array(rows, np.float32).reshape(-1, 6)


def clipped(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Clipped to the image, as ours are."""
    edge = [INPUT.width, INPUT.height] * 2
    return np.concatenate((rows[:, :2], np.clip(rows[:, 2:], 0, edge)), axis=1).astype(np.float32)


@pytest.mark.parametrize(("head", "raw"), [("yolox", "raw0"), ("objectness", "decoded")])
def test_yolox_matches_megviis_own_code(head: str, raw: str) -> None:
    theirs = clipped(RECORDED["yolox/rows"])
    assert len(theirs) > 20
    np.testing.assert_allclose(found(head, (RECORDED[f"yolox/{raw}"],)), theirs, rtol=1e-5, atol=1e-3)


def test_picodet_matches_another_implementation() -> None:
    raw = tuple(RECORDED[f"picodet/raw{number}"] for number in range(8))
    theirs = clipped(RECORDED["picodet/rows"])
    assert len(theirs) > 20
    np.testing.assert_allclose(found("picodet", raw), theirs, rtol=1e-5, atol=1e-3)
