"""Functions of installer and uninstaller: accounts that exist already, and a package manager that is busy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.settings import loader
from tests.conftest import ROOT

ACCOUNTS = {
    "service": "appliance:x:996:996::/var/lib/appliance:/usr/sbin/nologin",
    "person": "appliance:x:1000:1000::/home/appliance:/bin/bash",
}


def function(script: str, name: str) -> str:
    """The text of a function in a shell script."""
    text = (ROOT / "provisioning" / script).read_text(encoding="utf-8")
    found = re.search(rf"^{name}\(\) \{{\n.*?^\}}\n", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[0]


def run(tmp_path: Path, script: str, name: str, account: str | None) -> tuple[int, list[str]]:
    """Exit code of the function for `appliance`, and what it had removed."""
    known = f"echo '{ACCOUNTS[account]}'" if account else "exit 2"
    programs = {
        "getent": known,
        "userdel": f'echo "userdel $1" >>{tmp_path}/removed',
        "groupdel": f'echo "groupdel $1" >>{tmp_path}/removed',
    }
    for program, text in programs.items():
        (tmp_path / program).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / program).chmod(0o755)
    done = subprocess.run(
        ["bash", "-Eeuo", "pipefail", "-c", f"{function(script, name)}\n{name} appliance"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, timeout=20,
    )  # fmt: skip
    removed = tmp_path / "removed"
    return done.returncode, removed.read_text().splitlines() if removed.exists() else []


@pytest.mark.parametrize(("account", "code"), [(None, 1), ("service", 1), ("person", 0)])
def test_an_account_that_a_person_logs_in_with_is_recognised(account: str | None, code: int, tmp_path: Path) -> None:
    assert run(tmp_path, "install.sh", "of_a_person", account)[0] == code


@pytest.mark.parametrize(
    ("account", "removed"), [(None, []), ("service", ["userdel appliance", "groupdel appliance"]), ("person", [])]
)
def test_the_uninstaller_removes_no_account_of_a_person(
    account: str | None, removed: list[str], tmp_path: Path
) -> None:
    assert run(tmp_path, "uninstall.sh", "remove_account", account) == (0, removed)


def test_the_installer_does_not_depend_on_the_umask_of_roots_shell() -> None:
    """With 077, the service's account could not enter the folder of the releases."""
    text = (ROOT / "provisioning/install.sh").read_text(encoding="utf-8")
    assert text.index("\numask 022\n") < text.index("mkdir")


@pytest.mark.parametrize(
    ("says", "fails", "code", "tries"),
    [
        ("E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (unattended-upgr)", 2, 0, 3),
        ("E: Could not get lock /var/lib/apt/lists/lock. It is held by process 812 (apt-get)", 100, 1, 60),
        ("E: Unable to locate package python3-systemd", 1, 1, 1),
    ],
)
def test_the_installer_waits_while_the_system_installs_its_own_updates(
    says: str, fails: int, code: int, tries: int, tmp_path: Path
) -> None:
    count = f'echo x >>{tmp_path}/tries; [ "$(wc -l <{tmp_path}/tries)" -gt {fails} ]'
    for program, text in {"apt-get": f'{count} || {{ echo "{says}"; exit 100; }}', "sleep": ""}.items():
        (tmp_path / program).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / program).chmod(0o755)
    script = f'say() {{ echo "$@"; }}\nexec 3>&2\n{function("install.sh", "apt_get")}\napt_get update'
    surroundings = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "work": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-Eeuo", "pipefail", "-c", script], env=surroundings, timeout=60, capture_output=True, text=True
    )
    assert done.returncode == code
    assert len((tmp_path / "tries").read_text().split()) == tries
    assert (says in done.stdout) is (code != 0)
    assert done.stderr.count("waiting for another program") == (1 if tries > 1 else 0)


@pytest.mark.parametrize(
    ("environ", "written", "said"),
    [
        ({}, "", ""),
        ({"https_proxy": "http://10.0.0.1:3128"}, "http://10.0.0.1:3128", ""),
        ({"HTTPS_PROXY": "10.0.0.1:3128"}, "http://10.0.0.1:3128", ""),
        ({"https_proxy": "socks5://10.0.0.1:1080"}, "", "updates cannot use this proxy"),
        ({"https_proxy": 'http://a"b:1'}, "", "updates cannot use this proxy"),
    ],
)
def test_updates_use_the_proxy_of_the_installation(
    environ: dict[str, str], written: str, said: str, tmp_path: Path
) -> None:
    settings = tmp_path / "appliance.toml"
    settings.write_text('profile = "production"\n')
    script = f"""appliance={sys.executable.rpartition("/")[0]}/appliance log={tmp_path}/log
say() {{ echo "$@"; }}
{function("install.sh", "use_proxy")}
use_proxy {settings}"""
    done = subprocess.run(
        ["bash", "-Eeuo", "pipefail", "-c", script], env={"PATH": os.environ["PATH"], **environ},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert loader.load(settings, {}).update.proxy == written
    assert said in done.stdout
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ""] == ["appliance.toml"]
