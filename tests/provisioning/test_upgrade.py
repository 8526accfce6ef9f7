"""Upgrades: settings, secrets and state are kept, and a release that does not start is rolled back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.boot.conftest import Measured
from tests.provisioning.blank import Box, booted
from tests.provisioning.conftest import PREPARED, Bundle

pytestmark = [pytest.mark.provision, pytest.mark.slow]

_SETTINGS = '[server]\nviewer_token = "secret"\n'
_CURRENT = "/opt/appliance/current"


@pytest.fixture(scope="module")
def box(bundle: Bundle) -> Iterator[Box]:
    """A device on a network with an older release and its own settings."""
    with booted("bookworm", PREPARED) as box, box.network():
        box.run("cp", "-r", "/media/source", "/media/older")
        box.run("sed", "-i", 's/^__version__ = .*/__version__ = "0.0.1"/', "/media/older/appliance/__init__.py")
        code, said = box.install(source="/media/older")
        assert code == 0, said
        box.write("/etc/appliance/appliance.toml", _SETTINGS, owner="root:appliance")
        box.write("/etc/appliance/credentials/server.api_key", "0123456789abcdef\n")
        box.write("/var/lib/appliance/kept", "state\n", owner="appliance:appliance")
        yield box


def test_a_release_that_does_not_start_is_rolled_back(box: Box, measured: Measured) -> None:
    files = {path: what for path, what in box.files().items() if not _written_by_the_service(path)}
    box.run("cp", "-r", "/media/source", "/media/broken")
    box.run("sh", "-c", "echo 'raise SystemExit(7)' >> /media/broken/appliance/run.py")
    begun_s = time.monotonic()
    code, said = box.install(source="/media/broken")
    taken_s = time.monotonic() - begun_s
    assert code == 1, said
    assert 'the step "service" failed' in said
    assert "cannot undo" not in said
    box.wait_until("ready on the older release", lambda: box.get("/health/ready")[0] == 200)
    assert {path for path in box.leftovers(files) if not _written_by_the_service(path)} == set()
    measured(f"rolled back after {taken_s:.0f} s; the older release serves")


def test_a_newer_release_keeps_settings_secrets_and_state(box: Box, measured: Measured) -> None:
    older = box.run("readlink", _CURRENT)
    begun_s = time.monotonic()
    code, said = box.install()
    taken_s = time.monotonic() - begun_s
    assert code == 0, said
    newer = box.run("readlink", _CURRENT)
    assert older.startswith("releases/0.0.1-")
    assert newer != older
    assert box.run("cat", "/etc/appliance/appliance.toml") == _SETTINGS.strip()
    assert box.run("cat", "/etc/appliance/credentials/server.api_key") == "0123456789abcdef"
    assert box.run("cat", "/var/lib/appliance/kept") == "state"
    assert box.run("test", "-d", f"/opt/appliance/{older}") == "", "the older release is gone"
    assert box.get("/health/ready")[0] == 200
    measured(f"{taken_s:.0f} s; settings, secrets and state unchanged, older release kept")


def test_rollback_to_the_older_release_works(box: Box) -> None:
    older = box.run("sh", "-c", "basename /opt/appliance/releases/0.0.1-*")
    box.run(
        "sh", "-c", f"cd /opt/appliance && ln -sfn releases/{older} .current && mv -T .current current"
        " && systemctl restart appliance",
    )  # fmt: skip
    assert box.get("/health/ready")[0] == 200
    assert box.get("/health")[1]["version"] == "0.0.1"


def _written_by_the_service(path: str) -> bool:
    """Whether a running service writes to this path."""
    return path.startswith(("/var/lib/appliance", "/var/cache/appliance", "/media"))
