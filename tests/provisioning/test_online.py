"""From a bare Debian to a box that answers, by one command that fetches what it needs."""

from __future__ import annotations

import time

import pytest

from tests.boot.conftest import Measured
from tests.provisioning.blank import ask, booted

pytestmark = [pytest.mark.provision, pytest.mark.slow]


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_one_command_makes_a_ready_box_of_a_bare_system(suite: str, can_provision: None, measured: Measured) -> None:
    with booted(suite) as box, box.network() as port:
        begun_s = time.monotonic()
        code, said = box.install()
        taken_s = time.monotonic() - begun_s
        assert code == 0, said
        assert said.splitlines()[-1].endswith("is active: http://10.0.2.100:8080/")
        answer = ask(port)
        assert [found["name"] for found in answer["detections"]] == ["stop sign"], answer
        files, serial = box.files(), box.serial()
        code, said = box.install()
        assert code == 0, said
        assert box.leftovers(files) == {}
        assert box.serial() == serial
        size_mb = box.run("du", "-sm", "/opt/appliance").split()[0]
        measured(f"ready after {taken_s:.0f} s, {size_mb} MB; a frame answered over the network")
