"""A factory reset that an operator asks for on the page, carried out by systemd and root."""

from __future__ import annotations

import pytest

from tests.boot.conftest import Measured
from tests.boot.container import Container

pytestmark = pytest.mark.boot

_PLANTED = (
    "/var/lib/appliance/planted", "/var/cache/appliance/planted", "/etc/appliance/planted",
    "/var/lib/private/appliance-camera/gate/planted",
)  # fmt: skip


def _ask(device: Container, body: str) -> str:
    return device.run(
        "/opt/appliance/current/venv/bin/python", "-c",
        "import urllib.request as u; print(u.urlopen(u.Request('http://127.0.0.1:8080/actions/erase', "
        f"{body.encode()!r}, {{'Content-Type': 'application/json'}})).read().decode())",
    )  # fmt: skip


def _left(device: Container) -> set[str]:
    return {path for path in _PLANTED if device.run("sh", "-c", f"test -e {path} && echo yes", may_fail=True)}


@pytest.mark.parametrize(("body", "kept"), [('{"factory_reset":false}', {"/etc/appliance/planted"}),
                                            ('{"factory_reset":true}', set())])  # fmt: skip
def test_the_page_erases_the_device(device: Container, measured: Measured, body: str, kept: set[str]) -> None:
    for path in _PLANTED:
        device.run("mkdir", "-p", path.rpartition("/")[0])
        device.write(path, "secret of this site\n")
    former = device.main_pid()
    _ask(device, body)
    device.wait_until("erased", lambda: _left(device) == kept)
    device.wait_until("restarted", lambda: device.main_pid() not in ("0", former))
    device.wait_until_active()
    assert device.get("/health/live")[0] == 200
    device.run("rm", "-f", *kept)
    measured(f"left: {', '.join(sorted(kept)) or 'nothing'}")
