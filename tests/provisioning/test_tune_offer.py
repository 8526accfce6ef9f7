"""The end of the installer: whether it runs `appliance tune`. The rest is tested on blank systems."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

_START = "# Measuring takes a minute"


def end_of_installer(folder: Path, variables: str, status: int = 0) -> str:
    """What the end of the installer prints. The program prints its arguments and returns `status`."""
    program = folder / "current/venv/bin/appliance"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\necho appliance "$@"\nexit {status}\n')
    program.chmod(0o755)
    script = (ROOT / "provisioning/install.sh").read_text(encoding="utf-8")
    tail = script[script.index(_START) :].replace("/run/systemd/system", str(folder))
    head = f"set -Eeuo pipefail\nsay() {{ echo \"$@\"; }}\nbase={folder} before='' start=yes tune=ask pictures=''\n"
    done = subprocess.run(
        ["bash", "-c", f"{head}{variables}\n{tail}"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("variables", "output"),
    [
        ("drop_ins=()", ""),
        ("drop_ins=(--memory 4g) tune=no", ""),
        ("drop_ins=(--memory 1g) tune=yes", "appliance tune\n"),
        ("drop_ins=() tune=yes pictures=/media/yard", "appliance tune --pictures /media/yard\n"),
        ("drop_ins=() tune=yes start=no", ""),
    ],
)
def test_it_measures_only_when_asked_to(tmp_path: Path, variables: str, output: str) -> None:
    assert end_of_installer(tmp_path, variables) == output


def test_a_failure_leaves_the_installation_as_it_is(tmp_path: Path) -> None:
    output = end_of_installer(tmp_path, "drop_ins=() tune=yes", status=1)
    assert output.endswith("The device works as before. To measure again: sudo appliance tune\n")
