"""The Ansible role, run by Ansible with the local connection on devices that are folders.

Needs Debian's ansible, or ansible-core in an environment of its own and its program in $ANSIBLE_PLAYBOOK.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

PLAYBOOKS = ROOT / "provisioning" / "fleet" / "ansible"
PROGRAM = Path(__file__).parent / "appliance_program.py"
PLAYBOOK = os.environ.get("ANSIBLE_PLAYBOOK") or shutil.which("ansible-playbook")
NAMES = ("box1", "box2", "box3")

pytestmark = pytest.mark.skipif(PLAYBOOK is None, reason="no Ansible on this machine: `apt install ansible`")


def play(folder: Path, playbook: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    """Run a playbook on three devices below `folder`."""
    assert PLAYBOOK is not None
    hosts = {}
    for name in NAMES:
        (folder / name).mkdir(exist_ok=True)
        program = folder / name / "appliance"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{PROGRAM}" "{folder / name}" "$@"\n')
        program.chmod(0o755)
        hosts[name] = {
            "appliance_program": str(program),
            "appliance_settings_file": str(folder / name / "appliance.toml"),
            "appliance_reload_command": f"touch {folder / name / 'reloaded'}",
        }
    everywhere = {
        "ansible_connection": "local", "ansible_python_interpreter": sys.executable, "appliance_watch_s": 1,
        "appliance_look_s": 1, "appliance_ready_s": 2, "appliance_site": True, **variables,
    }  # fmt: skip
    inventory = folder / "inventory.json"
    inventory.write_text(json.dumps({"devices": {"hosts": hosts, "vars": everywhere}}))
    return subprocess.run(
        [PLAYBOOK, "-i", str(inventory), str(PLAYBOOKS / playbook), "-e", "ansible_become=false"],
        capture_output=True, text=True, timeout=280, check=False,
        env=os.environ | {"ANSIBLE_HOME": str(folder / "ansible"), "LC_ALL": "C.UTF-8"},
    )  # fmt: skip


def calls(folder: Path, name: str) -> list[str]:
    path = folder / name / "calls"
    return path.read_text().splitlines() if path.exists() else []


def updated(folder: Path) -> list[str]:
    return [name for name in NAMES if "update install" in calls(folder, name)]


def test_an_update_drains_installs_and_watches_each_device(tmp_path: Path) -> None:
    done = play(tmp_path, "update.yml", appliance_waves=[1, "100%"])
    assert done.returncode == 0, done.stdout + done.stderr
    for name in NAMES:
        changes = [one for one in calls(tmp_path, name) if one != "health --json"]
        assert changes == ["drain --wait 60s", "update install", "undrain"]
        assert calls(tmp_path, name).count("health --json") == 3


def test_a_wave_that_is_not_well_is_the_last_one(tmp_path: Path) -> None:
    (tmp_path / "box1").mkdir()
    (tmp_path / "box1" / "broken").touch()
    done = play(tmp_path, "update.yml", appliance_waves=[1, "100%"])
    assert done.returncode != 0
    assert "box1 is not well: engine_failing" in done.stdout
    assert updated(tmp_path) == ["box1"]
    assert "undrain" in calls(tmp_path, "box1")


def test_settings_tokens_and_models_are_brought_up_to_date_once(tmp_path: Path) -> None:
    model = tmp_path / "yard.tar"
    model.write_bytes(b"model")
    wanted = {
        "appliance_settings": "profile = 'production'\n",
        "appliance_tokens": [{"name": "anna", "role": "operator"}],
        "appliance_models": [{"name": "yard", "file": str(model)}],
        "appliance_model": "yard",
    }
    done = play(tmp_path, "devices.yml", **wanted)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in NAMES:
        assert (tmp_path / name / "appliance.toml").read_text() == "profile = 'production'\n"
        assert (tmp_path / name / "reloaded").exists()
        kept = tmp_path / "tokens" / f"{name}-anna"
        assert (kept.read_text(), kept.stat().st_mode & 0o777) == ("token-of-anna\n", 0o600)
        assert "model activate yard" in calls(tmp_path, name)
    again = play(tmp_path, "devices.yml", **wanted)
    assert again.returncode == 0, again.stdout + again.stderr
    for name in NAMES:
        assert sum(one.startswith("token add") for one in calls(tmp_path, name)) == 1
        assert sum(one.startswith("model import") for one in calls(tmp_path, name)) == 1


def test_settings_that_a_device_refuses_are_not_written(tmp_path: Path) -> None:
    done = play(tmp_path, "devices.yml", appliance_settings="[server]\nprot = 1\n")
    assert done.returncode != 0
    assert not (tmp_path / "box1" / "appliance.toml").exists()
