"""psutil's own reading of the boards, and ours through it: /sys is theirs in a mount namespace of the test's."""

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
    """What the program prints, as JSON, where /sys is the board's; skips where no namespace may be made."""
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    enter = ["sh", "-c", 'mount --bind "$0" /sys && exec "$@"', str(root / "sys")]
    try:
        allowed = subprocess.run([*unshare, *enter, "true"], capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        pytest.skip("no unshare here (util-linux): psutil is not run on the boards")
    if allowed.returncode:
        pytest.skip(f"no mount namespace may be made here: psutil is not run on the boards ({allowed.stderr.strip()})")
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
def test_psutil_sees_the_boards_sensors(name: str, temps: dict[str, list[float]], tmp_path: Path) -> None:
    seen = on_board(boards.lay_out(name, tmp_path), TEMPERATURES)
    assert isinstance(seen, dict)
    assert {chip: sorted(found) for chip, found in seen.items()} == {chip: sorted(t) for chip, t in temps.items()}


def test_through_psutil_the_processor_is_read_where_no_zone_is_its_own(tmp_path: Path) -> None:
    """As on an AMD machine, or without the driver for Intel's package sensor. The drive is hotter all the time."""
    boards.lay_out("nuc", tmp_path)
    for zone in (tmp_path / "sys/class/thermal").iterdir():
        zone.unlink()
    assert on_board(tmp_path, TWO_ROUNDS, str(tmp_path), "hwmon3/temp2_input") == [60.0, 71.5]
