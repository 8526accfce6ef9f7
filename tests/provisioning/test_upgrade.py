"""Upgrades: settings, secrets and state are kept, and a release that does not start is rolled back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.boot.conftest import Measured
from tests.provisioning.blank import BlankDevice, booted
from tests.provisioning.conftest import PREPARED, Bundle

pytestmark = [pytest.mark.provision, pytest.mark.slow]

_SETTINGS = '[server]\nviewer_token = "secret"\n'
_CURRENT = "/opt/appliance/current"


@pytest.fixture(scope="module")
def device(bundle: Bundle) -> Iterator[BlankDevice]:
    """A device on a network with an older release and its own settings."""
    with booted("bookworm", PREPARED) as device, device.network():
        device.run("cp", "-r", "/media/source", "/media/older")
        device.run("sed", "-i", 's/^__version__ = .*/__version__ = "0.0.1"/', "/media/older/appliance/__init__.py")
        code, output = device.install(source="/media/older")
        assert code == 0, output
        device.write("/etc/appliance/appliance.toml", _SETTINGS, owner="root:appliance")
        device.write("/etc/appliance/credentials/server.api_key", "0123456789abcdef\n")
        device.write("/var/lib/appliance/kept", "state\n", owner="appliance:appliance")
        yield device


def test_a_release_that_does_not_start_is_rolled_back(device: BlankDevice, measured: Measured) -> None:
    files = {path: what for path, what in device.files().items() if not _written_by_the_service(path)}
    device.run("cp", "-r", "/media/source", "/media/broken")
    device.run("sh", "-c", "echo 'raise SystemExit(7)' >> /media/broken/appliance/service/run.py")
    started_s = time.monotonic()
    code, output = device.install(source="/media/broken")
    taken_s = time.monotonic() - started_s
    assert code == 1, output
    assert 'the step "service" failed' in output
    assert "cannot undo" not in output
    device.wait_until("ready on the older release", lambda: device.get("/health/ready")[0] == 200)
    assert {path for path in device.leftovers(files) if not _written_by_the_service(path)} == set()
    measured(f"rolled back after {taken_s:.0f} s; the older release serves")


def test_a_newer_release_keeps_settings_secrets_and_state(device: BlankDevice, measured: Measured) -> None:
    older = device.run("readlink", _CURRENT)
    started_s = time.monotonic()
    code, output = device.install()
    taken_s = time.monotonic() - started_s
    assert code == 0, output
    newer = device.run("readlink", _CURRENT)
    assert older.startswith("releases/0.0.1-")
    assert newer != older
    assert device.run("cat", "/etc/appliance/appliance.toml") == _SETTINGS.strip()
    assert device.run("cat", "/etc/appliance/credentials/server.api_key") == "0123456789abcdef"
    assert device.run("cat", "/var/lib/appliance/kept") == "state"
    assert device.run("test", "-d", f"/opt/appliance/{older}") == "", "the older release is gone"
    assert device.get("/health/ready")[0] == 200
    measured(f"{taken_s:.0f} s; settings, secrets and state unchanged, older release kept")


def test_rollback_to_the_older_release_works(device: BlankDevice) -> None:
    older = device.run("sh", "-c", "basename /opt/appliance/releases/0.0.1-*")
    device.run(
        "sh", "-c", f"cd /opt/appliance && ln -sfn releases/{older} .current && mv -T .current current"
        " && systemctl restart appliance",
    )  # fmt: skip
    assert device.get("/health/ready")[0] == 200
    assert device.get("/health")[1]["version"] == "0.0.1"


def _written_by_the_service(path: str) -> bool:
    """Whether a running service writes to this path."""
    return path.startswith(("/var/lib/appliance", "/var/cache/appliance", "/media"))
