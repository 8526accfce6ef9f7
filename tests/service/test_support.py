"""Where a device says that vulnerabilities are to be reported, and until when they are fixed."""

from __future__ import annotations

import calendar

import pytest

from appliance.errors import ConfigError
from appliance.health.facts import SupportNotices
from appliance.service.self_knowledge import support
from appliance.settings import loader
from appliance.settings.schema.server import ServerSettings
from appliance.web.security_txt import text_of
from tests.conftest import Serve

_CONTACT = "mailto:security@example.com"


def at(year: int, month: int, day: int) -> float:
    return float(calendar.timegm((year, month, day, 12, 0, 0)))


def test_what_is_not_stated_is_named() -> None:
    assert support(ServerSettings(), at(2030, 1, 1)).unstated == ("server.security_contact", "server.supported_until")
    stated = ServerSettings(security_contact=_CONTACT, supported_until="2031-12")
    assert support(stated, at(2030, 1, 1)) == SupportNotices()


def test_support_ends_with_the_last_day_of_its_month() -> None:
    stated = ServerSettings(security_contact=_CONTACT, supported_until="2031-12")
    assert support(stated, at(2031, 12, 31)).ended == ""
    assert support(stated, at(2032, 1, 1)).ended == "2031-12"
    assert support(stated, 0.0).ended == "", "a clock that was never set ends nothing"


def test_security_txt_says_until_when() -> None:
    lines = text_of(_CONTACT, at(2030, 1, 1), "2031-12").splitlines()
    assert lines[:2] == ["# Vulnerabilities are fixed until the end of 2031-12.", f"Contact: {_CONTACT}"]


@pytest.mark.parametrize("month", ["2031", "2031-13", "12/2031", "soon"])
def test_a_period_that_is_no_month_is_refused(month: str) -> None:
    with pytest.raises(ConfigError, match=r"server\.supported_until"):
        loader.load(flags={"server.supported_until": month})


async def test_only_a_device_that_others_can_reach_asks_for_it(serve: Serve) -> None:
    async with serve() as running:
        assert "support_unstated" not in [found["code"] for found in running.report()["findings"]]
    async with serve(server__host="0.0.0.0") as running:
        assert "support_unstated" in [found["code"] for found in running.report()["findings"]]
