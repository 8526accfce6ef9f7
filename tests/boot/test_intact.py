"""The check for damage after a power cut finds every kind of incomplete file, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

import numpy as np
import pytest

from appliance.health.history import ROW, SLOTS, seal
from appliance.health.history_file import HEADER
from tests.boot import cuts, intact
from tests.boot.cuts import Kind

_NETWORK = b"a network"
_SHA256 = hashlib.sha256(_NETWORK).hexdigest()
_TEXTS = {
    "yolo11n/manifest.json": json.dumps({"files": {"model.bin": _SHA256}}).encode(),
    "active.json": b'{"name": "yolo11n", "configured": "yolo11n", "former": []}',
}
_DIGESTS = {"yolo11n/manifest.json": "", "active.json": "", "yolo11n/model.bin": _SHA256}


def _history() -> bytearray:
    rows = np.zeros(SLOTS, ROW)
    rows["step"][:3] = (7, 8, 9)
    rows["crc"] = [seal(row) for row in rows]
    return bytearray(HEADER + rows.tobytes())


def test_complete_files_pass() -> None:
    assert intact.active_model(_DIGESTS, _TEXTS) == "yolo11n"
    assert intact.state({"lock": b"", "history": bytes(_history())}) == intact.State(3, 0, ())


def test_missing_files_before_the_first_write_are_no_damage() -> None:
    assert intact.active_model({}, {}) is None
    assert intact.state({}) == intact.State(0, 0, ())


def test_a_truncated_network_is_found() -> None:
    with pytest.raises(AssertionError, match="yolo11n is damaged"):
        intact.active_model({**_DIGESTS, "yolo11n/model.bin": hashlib.sha256(b"a net").hexdigest()}, _TEXTS)


def test_a_missing_network_is_found() -> None:
    with pytest.raises(AssertionError, match="yolo11n is damaged"):
        intact.active_model({name: digest for name, digest in _DIGESTS.items() if "bin" not in name}, _TEXTS)


def test_an_empty_manifest_is_found() -> None:
    with pytest.raises(AssertionError, match="no manifest"):
        intact.active_model(_DIGESTS, {**_TEXTS, "yolo11n/manifest.json": b""})


@pytest.mark.parametrize("length", [0, 1, 20, len(_TEXTS["active.json"]) - 1])
def test_an_incomplete_model_selection_is_found(length: int) -> None:
    with pytest.raises((AssertionError, ValueError)):
        intact.active_model(_DIGESTS, {**_TEXTS, "active.json": _TEXTS["active.json"][:length]})


def test_a_selection_of_a_missing_model_is_found() -> None:
    with pytest.raises(AssertionError, match="lost is active"):
        intact.active_model(_DIGESTS, {**_TEXTS, "active.json": _TEXTS["active.json"].replace(b"yolo11n", b"lost", 1)})


def test_a_truncated_history_is_found() -> None:
    with pytest.raises(AssertionError, match="bytes"):
        intact.state({"history": bytes(_history()[:-1])})


def test_an_incomplete_row_is_counted_and_files_set_aside_are_named() -> None:
    history = _history()
    history[len(HEADER) + 10] ^= 1
    assert intact.state({"history": bytes(history), "history.corrupt-1": b""}) == intact.State(
        2, 1, ("history.corrupt-1",)
    )


def test_temporary_files_left_behind_are_reported() -> None:
    assert intact.temporary(["history", ".history.12", ".import-x/a", ".import-x/b"]) == [".history.12", ".import-x"]


def test_the_plan_contains_every_kind_of_cut_and_is_reproducible() -> None:
    assert cuts.plan() == cuts.plan() != cuts.plan(seed=1)
    assert Counter(cut.kind for cut in cuts.plan()) == dict.fromkeys(Kind, cuts.NUMBER // len(Kind))
