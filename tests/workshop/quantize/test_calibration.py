"""Reading pictures and labels from a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.errors import ModelError
from appliance.values import Box
from appliance.workshop.quantize import calibration
from tests.workshop.fakes import make_pictures


def quiet(line: str) -> None: ...


def test_consecutive_pictures_are_in_different_halves(tmp_path: Path) -> None:
    ours, held_out = calibration.halves(calibration.find(make_pictures(tmp_path, 9), 300, quiet))
    assert [sample.path.stem for sample in ours] == ["000", "002", "004", "006", "008"]
    assert [sample.path.stem for sample in held_out] == ["001", "003", "005", "007"]


def test_many_pictures_are_sampled_evenly(tmp_path: Path) -> None:
    found = calibration.find(make_pictures(tmp_path, 40), 10, quiet)
    assert [sample.path.stem for sample in found] == [f"{number:03}" for number in range(0, 40, 4)]


@pytest.mark.parametrize("count", [0, 7])
def test_too_few_pictures_are_an_error_with_their_number(tmp_path: Path, count: int) -> None:
    with pytest.raises(ModelError, match=f"contains {count} pictures") as caught:
        calibration.find(make_pictures(tmp_path, count), 300, quiet)
    assert caught.value.code == "calibration_pictures"


def test_a_missing_folder_has_no_pictures(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="contains 0 pictures"):
        calibration.find(tmp_path / "nowhere", 300, quiet)


def test_few_pictures_and_unreadable_files_are_reported(tmp_path: Path) -> None:
    make_pictures(tmp_path, 9)
    (tmp_path / "text.jpg").write_text("no picture")
    os.mkfifo(tmp_path / "pipe.jpg")
    half = tmp_path / "half.jpg"
    half.write_bytes((tmp_path / "000.jpg").read_bytes()[:-30])
    lines: list[str] = []
    found = calibration.decodable(calibration.find(tmp_path, 300, lines.append), lines.append)
    assert len(found) == 9
    assert any("text.jpg" in line for line in lines)
    assert any("half.jpg" in line for line in lines)
    assert any("pipe.jpg" in line for line in lines)
    assert any("only 10 pictures" in line for line in lines)


def test_labels_are_fractions_of_the_picture(tmp_path: Path) -> None:
    samples = calibration.find(make_pictures(tmp_path / "images", 8), 300, quiet)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "001.txt").write_text("2 0.5 0.5 0.25 0.5\n\n")
    folder = calibration.labels_folder(tmp_path / "images", None)
    assert folder is not None
    labels = calibration.labels_of(samples, folder, 3)
    assert [len(one) for one in labels] == [0, 1, 0, 0, 0, 0, 0, 0]
    assert labels[1][0].class_id == 2
    assert labels[1][0].box_px == Box(24, 8, 40, 24)


@pytest.mark.parametrize(
    "line", ["3 0.5 0.5 0.1 0.1", "-1 0.5 0.5 0.1 0.1", "0 0.5 1.5 0.1 0.1", "0 0.5", "cat 0 0 1 1"]
)
def test_an_invalid_label_is_reported_with_its_line(tmp_path: Path, line: str) -> None:
    samples = calibration.find(make_pictures(tmp_path, 8), 300, quiet)
    (tmp_path / "000.txt").write_text(line)
    with pytest.raises(ModelError, match=r"000.txt:1: ") as caught:
        calibration.labels_of(samples, tmp_path, 3)
    assert caught.value.code == "calibration_labels"


@pytest.mark.parametrize("special", ["Latin-1", "pipe", "folder"])
def test_labels_that_cannot_be_read_are_reported_with_their_file(tmp_path: Path, special: str) -> None:
    samples = calibration.find(make_pictures(tmp_path, 8), 300, quiet)
    path = tmp_path / "000.txt"
    if special == "pipe":
        os.mkfifo(path)
    elif special == "folder":
        path.mkdir()
    else:
        path.write_bytes("0 0.5 0.5 0.1 0.1 # Tür".encode("latin-1"))
    with pytest.raises(ModelError, match=r"000\.txt cannot be read") as caught:
        calibration.labels_of(samples, tmp_path, 3)
    assert caught.value.code == "calibration_labels"


def test_given_labels_must_exist(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    assert calibration.labels_folder(tmp_path / "images", None) is None
    for given in (tmp_path / "nowhere", tmp_path / "images"):
        with pytest.raises(ModelError, match="--labels"):
            calibration.labels_folder(tmp_path / "images", given)
