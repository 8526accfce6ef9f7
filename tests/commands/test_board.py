"""Recognition of boards, and the recommended settings for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.commands import board
from appliance.settings import loader
from tests.boards import lay_out, put
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("name", "architecture", "title", "side", "target_c", "drop_in"),
    [
        ("pi4", "aarch64", "Raspberry Pi 4", 416, 78, ()),
        ("pi5", "aarch64", "Raspberry Pi 5", 640, 78, ()),
        ("orin_nano", "aarch64", "Jetson Orin Nano", 640, 85, ("jetson",)),
        ("nuc", "x86_64", "Intel NUC", 640, 90, ()),
        ("vm", "x86_64", "unknown amd64 machine", 640, 80, ()),
    ],
)
def test_each_board_is_recognised_and_its_settings_are_valid(
    name: str, architecture: str, title: str, side: int, target_c: float, drop_in: tuple[str, ...], tmp_path: Path
) -> None:
    machine = board.find(lay_out(name, tmp_path), architecture)
    assert board.family_of(machine).title == title
    path = put(tmp_path, "appliance.toml", board.toml(machine))
    settings = loader.load(path)
    assert settings.flow.max_side == side
    assert settings.governor.target_temp_c == target_c
    assert board.drop_ins(machine)[1:] == drop_in
    assert any(title in line for line in board.table(machine))


def test_a_trip_point_below_the_default_target_lowers_it(tmp_path: Path) -> None:
    root = lay_out("pi5", tmp_path)
    for kind in root.glob("sys/class/thermal/thermal_zone0/trip_point_*_type"):
        kind.write_text("passive\n")
        kind.with_name(kind.name.replace("_type", "_temp")).write_text("70000\n")
    machine = board.find(root, "aarch64")
    (setting,) = [setting for setting in board.recommended(machine) if setting.key == "governor.target_temp_c"]
    assert setting.value == 68
    assert "70 °C" in setting.why


@pytest.mark.parametrize(("gigabytes", "name"), [(0.9, "1g"), (1.9, "2g"), (3.9, "4g"), (7.9, "8g"), (32, "8g")])
def test_the_memory_drop_in_matches_the_installed_memory(gigabytes: float, name: str) -> None:
    assert board.memory_drop_in(int(gigabytes * 1e9)) == f"memory-{name}"
    assert (ROOT / f"systemd/boards/memory-{name}.conf").exists()


ORIN_TENSORRT = "usr/lib/python3.10/dist-packages/tensorrt/__init__.py"


@pytest.mark.parametrize(
    ("name", "architecture", "python", "module", "kind", "why"),
    [
        ("orin_nano", "aarch64", "3.10", ORIN_TENSORRT, "tensorrt", "JetPack provides TensorRT"),
        ("orin_nano", "aarch64", "3.12", ORIN_TENSORRT, "openvino", "Python 3.10 here, and the appliance runs on 3.12"),
        (
            "orin_nano",
            "aarch64",
            "3.10",
            None,
            "openvino",
            "`sudo apt-get install python3-libnvinfer`, run the",
        ),
        ("pi5", "aarch64", "3.10", ORIN_TENSORRT, "openvino", "runs on every supported board"),
        ("nuc", "x86_64", "3.10", ORIN_TENSORRT, "openvino", "runs on every supported board"),
    ],
)
def test_tensorrt_is_recommended_on_a_jetson_that_has_it_for_this_python(
    name: str, architecture: str, python: str, module: str | None, kind: str, why: str, tmp_path: Path
) -> None:
    root = lay_out(name, tmp_path)
    if module is not None:
        put(root, module, "")
    machine = board.find(root, architecture, python)
    (setting,) = [setting for setting in board.recommended(machine) if setting.key == "engine.kind"]
    assert setting.value == kind
    assert why in setting.why
    settings = loader.load(put(tmp_path, "appliance.toml", board.toml(machine)))
    assert (settings.engine.kind, settings.engine.device) == (kind, "CPU")


def test_the_gpu_of_a_jetson_is_detected(tmp_path: Path) -> None:
    assert board.find(lay_out("orin_nano", tmp_path), "aarch64").accelerators == ("NVIDIA Jetson GPU",)
