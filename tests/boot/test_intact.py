"""The judge of what a power cut left finds each way in which a file can be half written, and only those."""

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


def test_whole_files_are_found_whole() -> None:
    assert intact.active_model(_DIGESTS, _TEXTS) == "yolo11n"
    assert intact.state({"lock": b"", "history": bytes(_history())}) == intact.State(3, 0, ())


def test_nothing_written_yet_is_no_damage() -> None:
    assert intact.active_model({}, {}) is None
    assert intact.state({}) == intact.State(0, 0, ())


def test_a_network_that_is_cut_short_is_found() -> None:
    with pytest.raises(AssertionError, match="yolo11n is damaged"):
        intact.active_model({**_DIGESTS, "yolo11n/model.bin": hashlib.sha256(b"a net").hexdigest()}, _TEXTS)


def test_a_network_that_is_gone_is_found() -> None:
    with pytest.raises(AssertionError, match="yolo11n is damaged"):
        intact.active_model({name: digest for name, digest in _DIGESTS.items() if "bin" not in name}, _TEXTS)


def test_an_empty_manifest_is_found() -> None:
    with pytest.raises(AssertionError, match="no manifest"):
        intact.active_model(_DIGESTS, {**_TEXTS, "yolo11n/manifest.json": b""})


@pytest.mark.parametrize("length", [0, 1, 20, len(_TEXTS["active.json"]) - 1])
def test_a_choice_that_is_half_written_is_found(length: int) -> None:
    with pytest.raises((AssertionError, ValueError)):
        intact.active_model(_DIGESTS, {**_TEXTS, "active.json": _TEXTS["active.json"][:length]})


def test_a_choice_of_a_model_that_is_not_there_is_found() -> None:
    with pytest.raises(AssertionError, match="lost is in use"):
        intact.active_model(_DIGESTS, {**_TEXTS, "active.json": _TEXTS["active.json"].replace(b"yolo11n", b"lost", 1)})


def test_a_history_that_is_cut_short_is_found() -> None:
    with pytest.raises(AssertionError, match="bytes"):
        intact.state({"history": bytes(_history()[:-1])})


def test_a_torn_row_is_counted_and_what_was_set_aside_is_named() -> None:
    history = _history()
    history[len(HEADER) + 10] ^= 1
    assert intact.state({"history": bytes(history), "history.corrupt-1": b""}) == intact.State(
        2, 1, ("history.corrupt-1",)
    )


def test_what_never_got_its_name_is_told() -> None:
    assert intact.unnamed(["history", ".history.12", ".import-x/a", ".import-x/b"]) == [".history.12", ".import-x"]


def test_the_plan_has_all_kinds_of_cuts_and_is_the_same_each_time() -> None:
    assert cuts.plan() == cuts.plan() != cuts.plan(seed=1)
    assert Counter(cut.kind for cut in cuts.plan()) == dict.fromkeys(Kind, cuts.NUMBER // len(Kind))
