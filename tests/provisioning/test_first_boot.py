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
        with switched_on(root, options) as box:
            code, said = box.install("--bundle", "/media/bundle.tar", "--no-start")
            assert code == 0, said
            assert said.splitlines()[-1].endswith("it starts at the next boot.")
            assert box.get("/health")[0] == 0
            box.write("/boot/firmware/appliance.toml", 'profile = "realtime"\n')
            box.write("/boot/firmware/appliance-wifi.txt", "ssid=Yard\npassword=12345678\ncountry=DE\n")
            box.write("/etc/hostname", "debian\n")
            box.run("mkdir", "-p", "/etc/NetworkManager/system-connections")
        begun_s = time.monotonic()
        with switched_on(root, options) as box:
            box.wait_until("ready", lambda: box.get("/health/ready")[0] == 200)
            ready_s = time.monotonic() - begun_s
            said = box.journal("appliance-at-boot.service")
            assert "applied the settings" in said
            assert "applied the Wi-Fi settings for Yard" in said
            assert box.run("ls", "/boot/firmware") == ""
            assert box.run("cat", "/etc/appliance/appliance.toml") == 'profile = "realtime"'
            assert box.run("stat", "-c", "%a %U:%G", "/etc/appliance/appliance.toml") == "640 root:appliance"
            name = box.run("cat", "/etc/hostname")
            assert name == f"appliance-{box.run('cat', '/etc/machine-id')[-6:]}"
            assert box.run("hostname") == name
            measured(f"{name}, ready {ready_s:.0f} s after power-on, with the settings from the boot partition")
