"""Units that nobody restarts by hand for years."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_UNITS = Path(__file__).parents[2] / "systemd/units"


@pytest.mark.parametrize("path", sorted(_UNITS.glob("*.path")), ids=lambda path: path.stem)
def test_a_path_unit_that_has_failed_is_started_again(path: Path) -> None:
    """tests/boot/test_waiting.py shows under systemd that this works."""
    assert "\nWants=appliance-rearm@%p.timer\n" in path.read_text(encoding="utf-8")


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("systemd-tmpfiles"), reason="needs root and systemd")
def test_files_that_root_has_copied_are_readable_for_the_service_after_a_boot(tmp_path: Path) -> None:
    (tmp_path / "etc/appliance-update").mkdir(parents=True)
    (tmp_path / "etc/appliance").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nappliance-update:x:995:995::/:/bin/false\n")
    (tmp_path / "etc/group").write_text("root:x:0:\nappliance:x:996:\nappliance-update:x:995:\n")
    settings, key = tmp_path / "etc/appliance/appliance.toml", tmp_path / "etc/appliance-update/root.json"
    for path in (settings, key):
        path.touch(0o600)
    rules = _UNITS.parent / "appliance.tmpfiles.conf"
    subprocess.run(["systemd-tmpfiles", f"--root={tmp_path}", "--create", "--prefix=/etc", str(rules)], check=True)
    assert (settings.stat().st_gid, settings.stat().st_mode & 0o777) == (996, 0o640)
    assert key.stat().st_mode & 0o777 == 0o644
