"""What cloud-init itself says of our user-data."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT


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
