"""/.well-known/security.txt, as RFC 9116 wants it."""

from __future__ import annotations

import datetime

import aiohttp
import pytest

from appliance.errors import ConfigError
from appliance.settings import loader
from appliance.web.security_txt import text_of
from tests.conftest import Running, Serve


def test_it_names_the_contact_and_expires_within_a_year() -> None:
    now_s = 1_800_000_000.0
    fields = dict(line.split(": ", 1) for line in text_of("mailto:security@example.com", now_s).splitlines())
    assert fields["Contact"] == "mailto:security@example.com"
    end_s = datetime.datetime.fromisoformat(fields["Expires"].replace("Z", "+00:00")).timestamp()
    assert now_s < end_s < now_s + 365 * 86_400


async def test_it_is_served_where_browsers_and_scanners_look(serve: Serve) -> None:
    async with (
        serve(server__security_contact="https://example.com/report") as running,
        aiohttp.ClientSession(running.url) as session,
        session.get("/.well-known/security.txt") as response,
    ):
        assert (response.status, response.content_type) == (200, "text/plain")
        assert (await response.text()).startswith("Contact: https://example.com/report\n")


async def test_without_a_contact_there_is_no_file(live: Running) -> None:
    async with aiohttp.ClientSession(live.url) as session, session.get("/.well-known/security.txt") as response:
        assert response.status == 404


@pytest.mark.parametrize("contact", ["security@example.com", "mailto:a\nContact: b", "javascript:alert(1)"])
def test_a_contact_that_is_no_address_is_an_error(contact: str) -> None:
    with pytest.raises(ConfigError, match=r"server\.security_contact"):
        loader.load(flags={"server.security_contact": contact})
