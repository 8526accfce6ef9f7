"""Installation over the network on a bare Debian or Ubuntu."""

from __future__ import annotations

import time

import pytest

from tests.boot.conftest import Measured
from tests.provisioning.blank import FIRST_TOKEN, ask, booted

pytestmark = [pytest.mark.provision, pytest.mark.slow]


@pytest.mark.parametrize("suite", ["bookworm", "trixie", "jammy", "noble"])
def test_one_command_installs_a_ready_device_on_a_bare_system(
    suite: str, can_provision: None, measured: Measured
) -> None:
    with booted(suite) as device, device.network() as port:
        started_s = time.monotonic()
        code, output = device.install()
        taken_s = time.monotonic() - started_s
        assert code == 0, output
        assert "is active: https://10.0.2.100:8080/#sha256=" in output.splitlines()[-1]
        answer = ask(port, device.run("cat", FIRST_TOKEN).strip())
        assert [found["name"] for found in answer["detections"]] == ["stop sign"], answer
        code, output = device.tried("/usr/local/bin/appliance", "doctor")
        assert code == 0, output
        assert device.run("find", "/root", "-name", "openvino*") == "", "OpenVINO has created a telemetry ID"
        files, serial = device.files(), device.serial()
        code, output = device.install()
        assert code == 0, output
        assert device.leftovers(files) == {}
        assert device.serial() == serial
        device.write("/etc/appliance/credentials/server.viewer_token", "in the rain\n")
        device.run("systemctl", "restart", "appliance")
        assert device.get("/cameras/gate/latest.jpg")[0] == 401
        output = device.run(
            "journalctl", "-b", "_PID=1", "-o", "cat", "--grep", "appliance.*(unknown|ignor)", may_fail=True
        )
        assert "appliance" not in output, "systemd ignores part of a unit"
        size_mb = device.run("du", "-sm", "/opt/appliance").split()[0]
        measured(f"ready after {taken_s:.0f} s, {size_mb} MB; a frame answered over the network")
