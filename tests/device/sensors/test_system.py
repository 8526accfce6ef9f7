"""Uptime and clock synchronisation."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from appliance.device.sensors import system
from tests import boards


@pytest.mark.parametrize(("status", "synchronised"), [(0x40, False), (0x2041, False), (0x2001, True), (0, True)])
def test_the_status_of_the_kernel_comes_first(status: int, synchronised: bool, tmp_path: Path) -> None:
    boards.put(tmp_path, "run/systemd/timesync/other", "")
    assert system.read(tmp_path, lambda: status).group.clock_synchronised is synchronised


def test_without_the_kernel_status_the_marker_of_timesyncd_counts(tmp_path: Path) -> None:
    def synchronised() -> bool | None:
        return system.read(tmp_path, lambda: None).group.clock_synchronised

    assert synchronised() is None
    (tmp_path / "run/systemd/timesync").mkdir(parents=True)
    assert synchronised() is False
    boards.put(tmp_path, "run/systemd/timesync/synchronized", "")
    assert synchronised() is True


@pytest.mark.skipif(sys.platform != "linux", reason="adjtimex(2) is Linux's")
def test_the_kernel_of_this_machine_reports_a_valid_status() -> None:
    status = system.clock_status()
    assert status is None or 0 <= status < 0x10000


@pytest.mark.parametrize(
    ("content", "uptime_s"),
    [("12.34 56.78\n", 12.34), ("0.00 0.00", 0.0), ("-1.00 0.00", None), ("nan 1", None), ("", None)],
)
def test_uptime_comes_from_the_kernel(content: str, uptime_s: float | None, tmp_path: Path) -> None:
    boards.put(tmp_path, "proc/uptime", content)
    assert system.read(tmp_path, lambda: 0).group.uptime_s == uptime_s
