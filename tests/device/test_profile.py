"""The benchmark profile: written atomically, and read only for the subject that was measured."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.device import profile
from appliance.device.profile import DeviceProfile, Rung, Subject
from appliance.values import ModelInfo, Size

HERE = Subject("Raspberry Pi 5 Model B Rev 1.0, 4 CPUs", "yolo11n", "openvino 2026.4.1 on CPU")


def rung(side: int, infer_ms: float = 40.0, **others: Any) -> Rung:
    return Rung(side, Size(side, side // 2), infer_ms + 5, infer_ms, 60.0, 20.0, 50_000_000, 200_000_000, **others)


PROFILE = DeviceProfile(
    HERE, "f32", "2026-01-02T03:04:05+00:00", (rung(640, temp_c=61.0), rung(416, 20.0), rung(320, 12.0))
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = profile.path_in(tmp_path, "yolo11n")
    profile.write(path, PROFILE)
    return path


def test_a_profile_is_read_back_as_it_was_written(path: Path) -> None:
    assert path.name == "profile-yolo11n.json"
    assert profile.read(path, HERE) == PROFILE
    assert oct(path.stat().st_mode & 0o444) == "0o444"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_an_unmeasured_device_has_no_profile_and_logs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert profile.read(tmp_path / "profile-yolo11n.json", HERE) is None
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (replace(HERE, machine="NUC12WSKi5, 16 CPUs"), "NUC12WSKi5"),
        (replace(HERE, model="yolo26n"), "yolo26n"),
        (replace(HERE, engine="openvino 2027.0.0 on CPU"), "2027.0.0"),
    ],
)
def test_a_profile_of_another_subject_is_ignored(
    other: Subject, named: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert profile.read(path, other) is None
    assert "Run again: appliance bench" in caplog.text
    assert named in caplog.text


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"subject": 3}', b"[" * 100_000, b'{"rungs": []}'],
    ids=lambda content: repr(content[:12]),
)
def test_a_damaged_profile_is_ignored(content: bytes, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert profile.read(path, HERE) is None
    assert "Run again: appliance bench" in caplog.text


@pytest.mark.parametrize("length", [1, 50, 200, 500])
def test_a_truncated_profile_is_ignored(length: int, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:length])
    assert profile.read(path, HERE) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [("infer_ms", 0), ("infer_ms", -4.0), ("fps", 1e9), ("frame_ms", "fast"), ("cpu_ms", None), ("side", 0)],
)
def test_a_profile_with_impossible_figures_is_ignored(key: str, value: object, path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    content["rungs"][1][key] = value
    path.write_text(json.dumps(content), encoding="utf-8")
    assert profile.read(path, HERE) is None


def test_a_profile_without_rungs_is_ignored(path: Path) -> None:
    profile.write(path, replace(PROFILE, rungs=()))
    assert profile.read(path, HERE) is None
    assert replace(PROFILE, rungs=()).cost(640) is None


def test_a_folder_in_place_of_a_profile_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "profile-x.json").mkdir()
    assert profile.read(tmp_path / "profile-x.json", HERE) is None


def test_a_pipe_in_place_of_a_profile_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "profile-x.json")
    assert profile.read(tmp_path / "profile-x.json", HERE) is None


def test_a_failed_write_leaves_the_old_profile_and_no_other_file(path: Path, tmp_path: Path) -> None:
    (tmp_path / f".{path.name}.{os.getpid()}").mkdir()
    with pytest.raises(OSError, match="directory"):
        profile.write(path, replace(PROFILE, precision="bf16"))
    assert profile.read(path, HERE) == PROFILE
    with pytest.raises(FileNotFoundError):
        profile.write(tmp_path / "gone" / "profile-x.json", PROFILE)


@pytest.mark.parametrize(
    ("side", "nearest"), [(640, 640), (2000, 640), (500, 416), (416, 416), (368, 416), (367, 320), (64, 320)]
)
def test_the_cost_is_that_of_the_nearest_rung_the_larger_of_two(side: int, nearest: int) -> None:
    found = PROFILE.cost(side)
    assert found is not None
    assert found.side == nearest


def test_a_profile_stays_in_the_models_folder_whatever_the_model_is_called(tmp_path: Path) -> None:
    assert profile.path_in(tmp_path, "../../etc/yolo").parent == tmp_path


def test_the_subject_names_machine_model_and_engine_version(tmp_path: Path) -> None:
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_text("NUC\0")
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: Intel(R) Core(TM) i5\n")
    (tmp_path / "proc/self").mkdir()
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cpu.max").write_text("100000 100000\n")
    subject = profile.subject_of(ModelInfo("yolo11n", "openvino", "CPU", "auto", ("x",)), tmp_path)
    assert subject.machine == "NUC, Intel(R) Core(TM) i5, 1 CPU"
    assert subject.model == "yolo11n"
    assert subject.engine.startswith("openvino 20")
    assert subject.engine.endswith(" on CPU")
    asked = profile.subject_of(ModelInfo("yolo11n", "none-of-this-name", "GPU", "f16", ("x",)), tmp_path)
    assert asked.engine == "none-of-this-name unknown on GPU, f16"
