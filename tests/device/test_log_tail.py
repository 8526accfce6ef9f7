"""The last lines of the log are those that the log itself keeps, escaped, and bounded."""

from __future__ import annotations

import logging

from appliance.device import logs
from appliance.device.log_tail import LogTail


def test_the_tail_has_what_the_log_has() -> None:
    logs.set_up("info", {})
    log, tail = logging.getLogger("appliance.test"), LogTail(kept=25)
    with tail.attached():
        for number in range(100):
            log.warning("flood %d\nforged", number, extra={"kind": "flood"})
        for number in range(30):
            log.warning("line %d", number, extra={"kind": f"kind {number}"})
    log.warning("afterwards")
    lines = tail.text().splitlines()
    assert len(lines) == 25
    assert lines[-1].endswith("WARNING line 29")
    assert "afterwards" not in tail.text()


def test_a_flood_is_one_line_and_cannot_forge_another() -> None:
    logs.set_up("info", {})
    tail = LogTail()
    with tail.attached():
        for _ in range(100):
            logging.getLogger("appliance.test").warning("flood\nforged", extra={"kind": "flood"})
    assert len(tail.text().splitlines()) == 1
