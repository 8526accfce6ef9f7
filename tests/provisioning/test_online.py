"""Installation over the network on a bare Debian or Ubuntu."""

from __future__ import annotations

import time

import pytest

from tests.boot.conftest import Measured
from tests.provisioning.blank import ask, booted

pytestmark = [pytest.mark.provision, pytest.mark.slow]


@pytest.mark.parametrize("suite", ["bookworm", "trixie", "jammy", "noble"])
def test_one_command_installs_a_ready_device_on_a_bare_system(
    suite: str, can_provision: None, measured: Measured
) -> None:
    with booted(suite) as box, box.network() as port:
        begun_s = time.monotonic()
        code, said = box.install()
        taken_s = time.monotonic() - begun_s
        assert code == 0, said
        assert said.splitlines()[-1].endswith("is active: http://10.0.2.100:8080/")
        answer = ask(port)
        assert [found["name"] for found in answer["detections"]] == ["stop sign"], answer
        code, said = box.tried("/usr/local/bin/appliance", "doctor")
        assert code == 0, said
        assert box.run("find", "/root", "-name", "openvino*") == "", "OpenVINO has made an id for its telemetry"
        files, serial = box.files(), box.serial()
        code, said = box.install()
        assert code == 0, said
        assert box.leftovers(files) == {}
        assert box.serial() == serial
        box.write("/etc/appliance/credentials/server.viewer_token", "in the rain\n")
        box.run("systemctl", "restart", "appliance")
        assert box.get("/cameras/gate/latest.jpg")[0] == 401
        said = box.run("journalctl", "-b", "_PID=1", "-o", "cat", "--grep", "appliance.*(unknown|ignor)", fails=True)
        assert "appliance" not in said, "systemd does not know what stands in a unit"
        size_mb = box.run("du", "-sm", "/opt/appliance").split()[0]
        measured(f"ready after {taken_s:.0f} s, {size_mb} MB; a frame answered over the network")
