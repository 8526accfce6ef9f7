"""First boot of a device with files on its boot partition."""

from __future__ import annotations

import time

import pytest

from tests.boot.conftest import Measured
from tests.provisioning.blank import blank_disk, switched_on
from tests.provisioning.conftest import PREPARED, Bundle

pytestmark = [pytest.mark.provision, pytest.mark.slow]


def test_the_first_boot_sets_the_host_name_and_applies_the_settings(bundle: Bundle, measured: Measured) -> None:
    options = [f"--bind-ro={bundle('amd64', '3.11')}:/media/bundle.tar"]
    with blank_disk("bookworm", PREPARED) as root:
        with switched_on(root, options) as device:
            code, output = device.install("--bundle", "/media/bundle.tar", "--no-start")
            assert code == 0, output
            assert output.splitlines()[-1].endswith("it starts at the next boot.")
            assert device.get("/health")[0] == 0
            device.write("/boot/firmware/appliance.toml", 'profile = "realtime"\n')
            device.write("/boot/firmware/appliance-wifi.txt", "ssid=Yard\npassword=12345678\ncountry=DE\n")
            device.write("/etc/hostname", "debian\n")
            device.run("mkdir", "-p", "/etc/NetworkManager/system-connections")
        started_s = time.monotonic()
        with switched_on(root, options) as device:
            device.wait_until("ready", lambda: device.get("/health/ready")[0] == 200)
            ready_s = time.monotonic() - started_s
            output = device.journal("appliance-at-boot.service")
            assert "applied the settings" in output
            assert "applied the Wi-Fi settings for Yard" in output
            assert device.run("ls", "/boot/firmware") == ""
            assert device.run("cat", "/etc/appliance/appliance.toml") == 'profile = "realtime"'
            assert device.run("stat", "-c", "%a %U:%G", "/etc/appliance/appliance.toml") == "640 root:appliance"
            name = device.run("cat", "/etc/hostname")
            assert name == f"appliance-{device.run('cat', '/etc/machine-id')[-6:]}"
            assert device.run("hostname") == name
            measured(f"{name}, ready {ready_s:.0f} s after power-on, with the settings from the boot partition")
