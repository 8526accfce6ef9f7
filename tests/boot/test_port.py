"""Another port, set the documented way: everything of the device that asks the service finds it there."""

from __future__ import annotations

import pytest

from tests.boot.container import Container

pytestmark = pytest.mark.boot

_PORT = 9000


def test_all_of_the_device_follows_an_edited_socket(device: Container) -> None:
    device.write("/etc/appliance/appliance.toml", "[server]\nport = 9001\n", owner="root:appliance")
    device.write(
        "/etc/systemd/system/appliance.socket.d/override.conf", f"[Socket]\nListenStream=\nListenStream={_PORT}\n"
    )
    device.run("systemctl", "daemon-reload")
    device.run("systemctl", "restart", "appliance.socket")
    device.wait_until_active()
    assert device.get("/health/ready", _PORT)[0] == 200
    assert device.run("cat", "/run/appliance/address") == f"[::]:{_PORT}"

    device.run("systemctl", "restart", "appliance-boot-check.service")  # fails if the boot is not good
    device.write("/etc/appliance/camera-gate.env", "SOURCE=demo\n")
    device.run("systemctl", "start", "appliance-camera@gate")
    device.wait_until("answered", lambda: device.get("/health", _PORT)[1]["cameras"].get("gate", {}).get("answered"))
    program = "/opt/appliance/current/venv/bin/appliance"
    assert "server.port = 9001 has no effect" in device.run(program, "doctor", may_fail=True)
    ready = "from appliance.update.observing import Observer as O; from appliance.device import listening_address as l"
    python = "/opt/appliance/current/venv/bin/python"
    assert device.run(python, "-c", f"{ready}; print(O(l.local_url).observe().ready)") == "True"

    device.drop_in("appliance-retry.timer", "[Timer]\nOnActiveSec=\nOnUnitInactiveSec=\nOnActiveSec=1h\n")
    device.run("mv", "/opt/appliance/current", "/opt/appliance/lost")
    device.run("systemctl", "kill", "--signal=KILL", "appliance.service")
    device.wait_until("in rescue", lambda: "keeps failing" in str(device.get("/health", _PORT)))
