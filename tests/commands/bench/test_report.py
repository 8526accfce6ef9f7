"""The report: summary, table, notes, JSON and chart."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.commands.bench import plot
from appliance.commands.bench.report import BenchReport, cameras, notes, summary, table, to_json
from tests.commands.bench.reports import minutes, profile, report, rung


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (40.0, (7, 5.0)),
        (50.0, (9, 5.0)),
        (100 / 9, (2, 5.0)),
        (5.6, (1, 5.0)),
        (5.5, (1, 4.95)),
        (1.0, (1, 0.9)),
        (0.1, (1, 0.09)),
    ],
)
def test_cameras_get_nine_tenths_of_the_frame_rate(fps: float, expected: tuple[int, float]) -> None:
    assert cameras(fps) == expected


@given(fps=st.floats(0.05, 1e5))
def test_the_cameras_never_exceed_the_usable_frame_rate(fps: float) -> None:
    count, each = cameras(fps)
    assert count >= 1
    assert count * each <= 0.9 * fps * (1 + 1e-6)
    assert (count + 1) * each > 0.9 * fps or each < 5


def test_the_summary_without_a_soak_says_cold() -> None:
    assert summary(report()) == "7 cameras at 5 fps, cold. To measure when hot: --soak 30m"


def test_one_camera_is_singular() -> None:
    slow = report(profile("yolo11n", rung(640, 2.0)))
    assert summary(slow).startswith("1 camera at 1.8 fps, cold.")


def test_the_summary_after_a_long_soak_uses_its_last_minutes() -> None:
    assert summary(report(soak=minutes(*[40.0] * 10, *[20.0] * 5))) == "3 cameras at 5 fps, hot"


def test_a_short_soak_is_not_reported_as_hot() -> None:
    assert summary(report(soak=minutes(30.0, 30.0))).startswith("5 cameras at 5 fps, after 2 min at full load.")


def test_a_soak_at_another_size_scales_the_frame_rate() -> None:
    ladder = profile("yolo11n", rung(640, 40.0), rung(320, 120.0))
    assert report(ladder, side=320, soak=minutes(*[30.0] * 30)).lasting_fps == pytest.approx(90.0)


def test_the_table_has_a_line_per_size_and_marks_the_one_in_use() -> None:
    both = report(
        profile("yolo11n", rung(640, 40.0, temp_c=61.2, mhz=2400.0), rung(320, 130.0)),
        profile("yolo11n-int8", rung(640, 77.0)),
    )
    lines = table(both).splitlines()
    (usual,) = [line for line in lines if line.startswith("*")]
    assert usual.split() == ["*", "640x320", "37.5", "40.0", "47.5", "50", "240", "61", "2400"]
    assert any(line.split()[-2:] == ["?", "?"] for line in lines)
    assert any(line.startswith("yolo11n-int8, f32") for line in lines)
    assert lines[-1] == summary(both)
    header = next(line for line in lines if "ms/frame" in line)
    assert header.index("ms/frame") + 8 == usual.index("37.5") + 4
    assert header.index("MHz") + 3 == usual.index("2400") + 4


def test_conditions_that_lower_the_results_are_noted() -> None:
    assert list(notes(report())) == []
    assert "up to 35 % of the CPUs" in "".join(notes(report(profile("a", rung(640, 40.0, others_percent=35.0)))))
    assert "up to 50 % of the CPUs" in "".join(notes(report(soak=minutes(30.0, others_percent=50.0))))
    slowed = report(profile("yolo11n", rung(640, 40.0, throttled=True, mhz=2400.0), rung(320, 99.0, mhz=1500.0)))
    assert [note.split(":")[0] for note in notes(slowed)] == [
        "The chip was throttled",
        "The chip's clock dropped from 2400 to 1500 MHz.",
    ]
    assert list(notes(report(soak=minutes(30.0, 29.0, throttled=False, mhz=2000.0)))) == []


def test_the_json_contains_all_results() -> None:
    content = json.loads(to_json(report(soak=minutes(30.0, 29.0, others_percent=50.0))))
    assert content["profiles"][0]["subject"]["model"] == "yolo11n"
    assert [one["fps"] for one in content["profiles"][0]["rungs"]] == [40.0, 130.0]
    assert content["soak"][1] == {
        "at_s": 120.0,
        "fps": 29.0,
        "temp_c": 60.0,
        "mhz": None,
        "throttled": None,
        "others_percent": 50.0,
    }
    assert content["cameras"]["count"] == 5
    assert content["cameras"]["text"].startswith("5 cameras at 5 fps")
    assert len(content["notes"]) == 1


@pytest.mark.parametrize(
    "shown",
    [
        report(),
        report(profile("a", rung(640, 40.0, others_percent=50.0))),
        report(profile("a", rung(640, 0.2))),
        report(profile("a", rung(640, 40.0, temp_c=70.0, throttled=True)), profile("a-int8", rung(640, 70.0))),
        report(soak=minutes(39.0, 30.0, 28.0)),
        report(soak=minutes(39.0, 30.0, temp_c=None)),
        report(soak=minutes(39.0)),
    ],
)
def test_the_chart_is_valid_and_nothing_is_outside_its_area(shown: BenchReport) -> None:
    root = ElementTree.fromstring(plot.svg(shown))
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names <= {"svg", "rect", "text", "line", "polyline"}
    for element in list(root)[1:]:
        for key, most in (("x", width), ("y", height), ("x1", width), ("x2", width), ("y1", height), ("y2", height)):
            assert 0 <= float(element.get(key, "0")) <= most
        for place in element.get("points", "").split():
            x, y = map(float, place.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height
    words = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
    assert summary(shown) in words
    assert any("Board <1> & co" in word for word in words)
    assert ("polyline" in names) is (len(shown.soak) > 1)
