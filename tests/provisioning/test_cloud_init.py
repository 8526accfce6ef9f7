"""Our user-data: it is valid, and cloud-init turns a board into a device with it."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.boot.conftest import Measured
from tests.conftest import ROOT
from tests.provisioning.blank import blank_disk, switched_on
from tests.provisioning.conftest import PREPARED, Bundle


@pytest.mark.parametrize("name", ["nuc", "raspberry-pi"])
def test_cloud_init_accepts_the_user_data(name: str) -> None:
    assert _validated(ROOT / f"provisioning/cloud-init/{name}.yaml").returncode == 0


def test_cloud_init_rejects_an_invalid_value(tmp_path: Path) -> None:
    wrong = tmp_path / "user-data.yaml"
    text = (ROOT / "provisioning/cloud-init/nuc.yaml").read_text(encoding="utf-8")
    wrong.write_text(text.replace("lock_passwd: true", "lock_passwd: [maybe]"))
    assert _validated(wrong).returncode != 0


def _validated(path: Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("cloud-init") is None:
        pytest.skip("cloud-init missing: apt install cloud-init")
    return subprocess.run(["cloud-init", "schema", "--config-file", path], capture_output=True, text=True)


@pytest.mark.provision
@pytest.mark.slow
def test_the_first_boot_with_cloud_init_installs_a_ready_device(bundle: Bundle, measured: Measured) -> None:
    data = yaml.safe_load((ROOT / "provisioning/cloud-init/raspberry-pi.yaml").read_text(encoding="utf-8"))
    del data["power_state"]  # a reboot would end the container
    with blank_disk("bookworm", (*PREPARED, "cloud-init", "openssh-server", "sudo", "tzdata")) as root:
        seed = root / "var/lib/cloud/seed/nocloud"
        seed.mkdir(parents=True)
        (seed / "meta-data").write_text("instance-id: test\n")
        (seed / "user-data").write_text(f"#cloud-config\n{yaml.safe_dump(data)}")
        (root / "etc/cloud/cloud.cfg.d/90-test.cfg").write_text("datasource_list: [NoCloud]\n")
        options = [f"--bind-ro={bundle('amd64', '3.11')}:/boot/firmware/appliance.tar"]
        started_s = time.monotonic()
        with switched_on(root, options) as device:
            device.wait_until("ready", lambda: device.get("/health/ready")[0] == 200, patience_s=900)
            taken_s = time.monotonic() - started_s
            output = device.run("cloud-init", "status", "--wait", "--long", may_fail=True)
            assert "status: done" in output, device.run("tail", "-n", "50", "/var/log/cloud-init-output.log")
            assert device.run("id", "-nG", "technician") == "technician sudo"
            measured(f"ready {taken_s:.0f} s after power-on")
