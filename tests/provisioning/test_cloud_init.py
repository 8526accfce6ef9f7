"""What cloud-init itself says of our user-data, and what it makes of it."""

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
def test_cloud_init_finds_the_user_data_good(name: str) -> None:
    assert _judged(ROOT / f"provisioning/cloud-init/{name}.yaml").returncode == 0


def test_cloud_init_would_find_a_misspelt_key(tmp_path: Path) -> None:
    wrong = tmp_path / "user-data.yaml"
    text = (ROOT / "provisioning/cloud-init/nuc.yaml").read_text(encoding="utf-8")
    wrong.write_text(text.replace("lock_passwd: true", "lock_passwd: [maybe]"))
    assert _judged(wrong).returncode != 0


def _judged(path: Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("cloud-init") is None:
        pytest.skip("cloud-init is not on this machine, so user-data was not checked: apt install cloud-init")
    return subprocess.run(["cloud-init", "schema", "--config-file", path], capture_output=True, text=True)


@pytest.mark.provision
@pytest.mark.slow
def test_a_board_that_boots_with_it_becomes_a_box(bundle: Bundle, measured: Measured) -> None:
    data = yaml.safe_load((ROOT / "provisioning/cloud-init/raspberry-pi.yaml").read_text(encoding="utf-8"))
    del data["power_state"]  # a container that restarts ends
    with blank_disk("bookworm", (*PREPARED, "cloud-init", "openssh-server", "sudo", "tzdata")) as root:
        seed = root / "var/lib/cloud/seed/nocloud"
        seed.mkdir(parents=True)
        (seed / "meta-data").write_text("instance-id: test\n")
        (seed / "user-data").write_text(f"#cloud-config\n{yaml.safe_dump(data)}")
        (root / "etc/cloud/cloud.cfg.d/90-test.cfg").write_text("datasource_list: [NoCloud]\n")
        options = [f"--bind-ro={bundle('amd64', '3.11')}:/boot/firmware/appliance.tar"]
        begun_s = time.monotonic()
        with switched_on(root, options) as box:
            box.wait_until("a box", lambda: box.get("/health/ready")[0] == 200, patience_s=900)
            taken_s = time.monotonic() - begun_s
            said = box.run("cloud-init", "status", "--wait", "--long", fails=True)
            assert "status: done" in said, box.run("tail", "-n", "50", "/var/log/cloud-init-output.log")
            assert box.run("id", "-nG", "technician") == "technician sudo"
            measured(f"ready {taken_s:.0f} s after it was switched on")
