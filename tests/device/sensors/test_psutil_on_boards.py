"""psutil on the boards, and the sensors that use it: a mount namespace replaces /sys with the board's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import boards

HERE = Path(__file__).parent.parent.parent.parent

TEMPERATURES = """
import json, psutil
temps = psutil.sensors_temperatures()
print(json.dumps({name: [sensor.current for sensor in found] for name, found in temps.items()}))
"""

TWO_ROUNDS = """
import json, sys
from pathlib import Path
from appliance.device.sensors.machine import MachineSensors
sensors, temps = MachineSensors(root=Path(sys.argv[1]), disk=Path(sys.argv[1])), []
for temp in (None, "71500"):
    if temp:
        (Path("/sys/class/hwmon") / sys.argv[2]).write_text(temp)
    temps.append(sensors.read().thermal.soc_temp_c)
print(json.dumps(temps))
"""


def on_board(root: Path, program: str, *arguments: str) -> object:
    """Run a program with the board's /sys and return its JSON output; skip if mount namespaces are not permitted."""
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    enter = ["sh", "-c", 'mount --bind "$0" /sys && exec "$@"', str(root / "sys")]
    try:
        allowed = subprocess.run([*unshare, *enter, "true"], capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        pytest.skip("unshare (util-linux) is missing: psutil is not tested on boards")
    if allowed.returncode:
        pytest.skip(f"mount namespaces are not permitted: psutil is not tested on boards ({allowed.stderr.strip()})")
    command = [*unshare, *enter, sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=HERE)
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("name", "temps"),
    [
        ("pi4", {"cpu_thermal": [74.01]}),
        ("pi5", {"cpu_thermal": [47.4], "rp1_adc": [51.218]}),
        ("nuc", {"coretemp": [60.0, 57.0, 59.0], "nvme": [78.85]}),
        ("vm", {}),
    ],
)
def test_psutil_reads_the_sensors_of_the_boards(name: str, temps: dict[str, list[float]], tmp_path: Path) -> None:
    seen = on_board(boards.lay_out(name, tmp_path), TEMPERATURES)
    assert isinstance(seen, dict)
    assert {chip: sorted(found) for chip, found in seen.items()} == {chip: sorted(t) for chip, t in temps.items()}


def test_without_a_zone_for_the_chip_psutil_reads_the_cpu_sensors(tmp_path: Path) -> None:
    """As on an AMD machine, or without the driver for Intel's package sensor. The drive is always hotter."""
    boards.lay_out("nuc", tmp_path)
    for zone in (tmp_path / "sys/class/thermal").iterdir():
        zone.unlink()
    assert on_board(tmp_path, TWO_ROUNDS, str(tmp_path), "hwmon3/temp2_input") == [60.0, 71.5]
