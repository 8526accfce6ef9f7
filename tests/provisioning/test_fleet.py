"""The Ansible role, run by Ansible over SSH on three devices in containers, from a blank system to updates in waves.

The tests share the devices and run in this order (`make fleet-test`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.boot.conftest import Measured
from tests.provisioning.fleet import ANSIBLE, PLAYBOOKS, Fleet, Played, switched_on_fleet
from tests.provisioning.offers import Offers

_NAMES = ("box1", "box2", "box3")
_SETTINGS = """\
[server]
trusted_proxies = ["10.78.0.254"]
[update]
commit_after_s = 30
[site]
agent_port = 8081
device = "{{ inventory_hostname }}"
"""
_WAVES = json.dumps({"appliance_waves": [1, "100%"]})
_BAD = {
    "crashes": ({"appliance/service/run.py": "\nraise SystemExit(7)\n"}, "box1 went back to"),
    "has a new finding": (
        {
            "appliance/health/checks/site.py": "\n\ndef site_bus_away(facts):\n"
            "    return advise(Severity.DEGRADED, 'Not well.', 'Go back.')\n"
        },
        "box1 is not well: site_bus_away",
    ),
}

pytestmark = [
    pytest.mark.provision,
    pytest.mark.slow,
    pytest.mark.skipif(not (ANSIBLE / "ansible-playbook").exists(), reason="no Ansible: run `make fleet-test`"),
    pytest.mark.skipif(not shutil.which("ssh"), reason="no SSH: apt install openssh-client"),
]


@pytest.fixture(scope="module")
def fleet(can_provision: None, offers: Offers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with switched_on_fleet(tmp_path_factory.mktemp("fleet"), _NAMES, offers.options) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def wanted(offers: Offers, models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The variables of all devices."""
    model = tmp_path_factory.mktemp("model") / "yolo11n.tar.gz"
    with tarfile.open(model, "w:gz") as archive:
        archive.add(models_dir / "yolo11n", "yolo11n")
    return {
        "appliance_bundle": str(offers.bundle),
        "appliance_settings": _SETTINGS,
        "appliance_update_root": str(offers.bundle.with_name("root.json")),
        "appliance_tokens": [{"name": "anna", "role": "operator"}, {"name": "prometheus", "role": "metrics"}],
        "appliance_models": [{"name": "yard", "file": str(model)}],
        "appliance_model": "yard",
        "appliance_site": True,
        "appliance_look_s": 3,
    }


def _set_up(fleet: Fleet, wanted: dict[str, Any], *options: str) -> Played:
    return fleet.play("devices.yml", *options, **wanted)


def _versions(fleet: Fleet) -> list[str]:
    return [str(device.get("/health")[1]["version"]) for device in fleet.devices.values()]


def test_ansible_lint_finds_nothing(tmp_path: Path) -> None:
    path = f"{ANSIBLE}:{os.environ['PATH']}"
    lint = [str(ANSIBLE / "ansible-lint"), "--offline", "--nocolor", "--profile", "production", str(PLAYBOOKS)]
    done = subprocess.run(lint, capture_output=True, text=True, cwd=PLAYBOOKS, env=os.environ | {"PATH": path})
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_check_of_blank_devices_changes_nothing(fleet: Fleet, wanted: dict[str, Any]) -> None:
    before = {name: device.run("find", "/etc", "/opt", "/var/tmp") for name, device in fleet.devices.items()}
    played = _set_up(fleet, wanted, "--check")
    assert played.code == 0, played.output
    assert all(played.of_each("changed").values()), played.output
    assert {name: device.run("find", "/etc", "/opt", "/var/tmp") for name, device in fleet.devices.items()} == before


def test_blank_devices_get_a_bundle_settings_tokens_and_a_model(
    fleet: Fleet, wanted: dict[str, Any], measured: Measured
) -> None:
    played = _set_up(fleet, wanted)
    assert played.code == 0, played.output
    for name, device in fleet.devices.items():
        health = device.get("/health")[1]
        assert (health["status"], health["engine"]["model"]) == ("ok", "yard"), health
        assert device.run("stat", "-c", "%U:%G %a", "/etc/appliance/appliance.toml") == "root:appliance 640"
        kept = fleet.folder / f"tokens/{name}-prometheus"
        assert kept.stat().st_mode & 0o777 == 0o600
        answers = [fleet.status_of(name, "/metrics", token) for token in (kept.read_text().strip(), "wrong")]
        assert answers == ["200", "401"]
        assert "8081" in device.run("ss", "-Hltn")
        assert "bundle" not in device.run("ls", "/var/tmp")
    measured(", ".join(f"{name}: {count} tasks changed" for name, count in played.of_each("changed").items()))


def test_a_second_run_changes_nothing(fleet: Fleet, wanted: dict[str, Any]) -> None:
    played = _set_up(fleet, wanted)
    assert (played.code, played.of_each("changed")) == (0, dict.fromkeys(_NAMES, 0)), played.output


def test_a_check_says_what_would_change_and_changes_nothing(fleet: Fleet, wanted: dict[str, Any]) -> None:
    more = {
        "appliance_settings": f'{_SETTINGS}[log]\nlevel = "info"\n',
        "appliance_tokens": [{"name": "eve", "role": "viewer"}],
    }
    played = _set_up(fleet, wanted | more, "--check")
    assert played.code == 0, played.output
    assert all(played.of_each("changed").values()), played.output
    for device in fleet.devices.values():
        assert "eve" not in device.run("/usr/local/bin/appliance", "token", "list")
        assert "info" not in device.run("cat", "/etc/appliance/appliance.toml")


def test_settings_that_the_first_device_refuses_are_written_nowhere(fleet: Fleet, wanted: dict[str, Any]) -> None:
    played = _set_up(fleet, wanted | {"appliance_settings": f"{_SETTINGS}prot = 1\n"})
    assert played.code != 0
    assert "prot" in played.output
    assert set(played.counts) == {"box1"}, played.output
    for device in fleet.devices.values():
        assert "prot" not in device.run("cat", "/etc/appliance/appliance.toml")


def test_a_device_that_cannot_be_reached_keeps_no_other_from_its_settings(fleet: Fleet, wanted: dict[str, Any]) -> None:
    wanted["appliance_settings"] += '[log]\nlevel = "info"\n'
    fleet.plug("box3", "down")
    played = _set_up(fleet, wanted)
    fleet.plug("box3", "up")
    assert played.code != 0
    assert played.of_each("unreachable") == {"box1": 0, "box2": 0, "box3": 1}, played.output
    found = ["info" in device.run("cat", "/etc/appliance/appliance.toml") for device in fleet.devices.values()]
    assert found == [True, True, False]
    again = _set_up(fleet, wanted)
    assert (again.code, [count > 0 for count in again.of_each("changed").values()]) == (0, [False, False, True])


@pytest.mark.parametrize("kind", _BAD)
def test_a_first_wave_that_is_not_well_is_the_last_one(
    fleet: Fleet, wanted: dict[str, Any], offers: Offers, kind: str, measured: Measured
) -> None:
    more, reason = _BAD[kind]
    before = _versions(fleet)
    source = offers.offer(f"0.2.{list(_BAD).index(kind)}", more)
    played = fleet.play("update.yml", "-e", _WAVES, **wanted, appliance_release=source)
    assert played.code != 0
    assert reason in played.output, played.output
    assert set(played.counts) == {"box1"}, played.output
    assert _versions(fleet)[1:] == before[1:]
    for device in fleet.devices.values():
        assert "drained" not in [finding["code"] for finding in device.get("/health")[1]["findings"]]
    measured(next(line.strip() for line in played.output.splitlines() if reason in line)[:150])


def test_a_good_release_reaches_all_devices_and_a_second_run_changes_nothing(
    fleet: Fleet, wanted: dict[str, Any], offers: Offers, measured: Measured
) -> None:
    source = offers.offer("0.3.0", {})
    checked = fleet.play("update.yml", "--check", "-e", _WAVES, **wanted, appliance_release=source)
    assert checked.code == 0, checked.output
    assert "0.3.0" not in _versions(fleet)
    played = fleet.play("update.yml", "-e", _WAVES, **wanted, appliance_release=source)
    assert played.code == 0, played.output
    assert _versions(fleet) == ["0.3.0"] * 3
    again = fleet.play("update.yml", "-e", _WAVES, **wanted, appliance_release=source)
    assert (again.code, again.of_each("changed")) == (0, dict.fromkeys(_NAMES, 0)), again.output
    measured(", ".join(f"{name}: {count} tasks changed" for name, count in played.of_each("changed").items()))


def test_an_unreachable_first_device_ends_the_update(fleet: Fleet, wanted: dict[str, Any], offers: Offers) -> None:
    source = offers.offer("0.4.0", {})
    fleet.plug("box1", "down")
    played = fleet.play("update.yml", "-e", _WAVES, **wanted, appliance_release=source)
    fleet.plug("box1", "up")
    assert played.code != 0
    assert played.of_each("unreachable") == {"box1": 1}, played.output
    assert _versions(fleet) == ["0.3.0"] * 3
