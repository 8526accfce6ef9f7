"""A disk that is full, or fills while an update is installed: the release in use goes on, and the next attempt works.

`make update-test`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot.conftest import Measured
from tests.provisioning.blank import BlankDevice, blank_disk, switched_on
from tests.provisioning.conftest import PREPARED
from tests.provisioning.memory_card import memory_card, why_not
from tests.provisioning.offers import Offers

pytestmark = [pytest.mark.provision, pytest.mark.slow]

_APPLIANCE = "/usr/local/bin/appliance"
_NEWER = "0.2.0"
_FILL = "fallocate -l $(($(df --output=avail -B1 /var | tail -1) - 1000000)) /var/filler"
_FILL_WHOLLY = f"{_FILL}; dd if=/dev/zero of=/var/filler.root bs=1M status=none"  # also what is kept for root
_ONCE_UNPACKING = "until ls -d /opt/appliance/releases/{}-*/venv; do sleep 0.05; done; "


@pytest.fixture(scope="module")
def installed(can_provision: None, offers: Offers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlankDevice]:
    if reason := why_not():
        pytest.skip(reason)
    with (
        memory_card(tmp_path_factory.mktemp("card")) as card,
        blank_disk("bookworm", PREPARED, card.root),
        switched_on(card.root, offers.options) as device,
    ):
        offers.install(device, "[update]\ncommit_after_s = 30\n")
        yield device


def _refused(device: BlankDevice) -> list[str]:
    """What the finding says about the refused update."""
    found = device.get("/health")[1]["findings"]
    return [one["what"] for one in found if one["code"] == "update_refused"]


def _fails(device: BlankDevice, source: str, why: str) -> None:
    """Try to install a release; see that nothing has changed, and that the output and a finding say why."""
    before = os.readlink(device.root / "opt/appliance/current")
    code, output = device.tried(_APPLIANCE, "update", "install", source)
    assert code != 0, output
    assert os.readlink(device.root / "opt/appliance/current") == before
    device.run("/usr/libexec/appliance/update-guard", "check", Path(before).name)
    assert device.get("/health/ready")[0] == 200
    assert not list(device.root.glob(f"opt/appliance/releases/{_NEWER}-*"))
    assert why in output, output
    device.wait_until("the finding", lambda: any(why in one for one in _refused(device)))


def test_a_full_disk_refuses_an_update_and_the_next_attempt_works(
    installed: BlankDevice, offers: Offers, measured: Measured
) -> None:
    source = offers.offer(_NEWER, {})
    installed.run("sh", "-c", _FILL)
    _fails(installed, source, "MB are free")
    full = _refused(installed)
    installed.run("rm", "/var/filler")
    with installed.background("sh", "-c", _ONCE_UNPACKING.format(_NEWER) + _FILL_WHOLLY):
        _fails(installed, source, "No space left on device. Free some space")
    measured(f"full: {full[0]}; filled while it was unpacked: {_refused(installed)[0]}")
    installed.run("rm", "/var/filler", "/var/filler.root")
    code, output = installed.tried(_APPLIANCE, "update", "install", source)
    assert code == 0, output
    installed.wait_until("kept", lambda: f"committed={_NEWER}-" in installed.run("cat", "/opt/appliance/update/state"))
    installed.wait_until("the finding is gone", lambda: not _refused(installed))
