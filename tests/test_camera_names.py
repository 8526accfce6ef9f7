"""Any printable name is accepted in one normal form; what could mislead a reader is not."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.camera_names import LONGEST, looked_up, normal

DECOMPOSED = unicodedata.normalize("NFD", "Portão principal")


@pytest.mark.parametrize(
    "name",
    ["gate", "Portão principal", "Двор", "正門 2", "بوابة", 'Gate "A" <b>', "a/b\\c", "100 %", "🚪", "..x", "x" * 64],
)
def test_printable_names_are_kept(name: str) -> None:
    assert normal(name) == name


def test_two_spellings_of_one_name_are_one_name() -> None:
    assert DECOMPOSED != "Portão principal"
    assert normal(DECOMPOSED) == normal("  Portão \u00a0 principal ") == "Portão principal"


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "x" * 65, "a\nb", "a\x00", "a\x1b[31m", "\u202egate", "ga\u200bte", "\u2067a\u2069", "\ufeffx",
     "\ud800", "\u3164", "\u0301a", "http-1", "_canary", None, 7, ["gate"], b"gate", "\ufdfa" * 999],
)  # fmt: skip
def test_names_that_could_mislead_are_invalid(name: object) -> None:
    assert normal(name) is None


@given(st.text(max_size=80))
def test_a_normal_name_stays_as_it_is_and_fits_on_one_line(text: str) -> None:
    name = normal(text)
    if name is not None:
        assert normal(name) == name
        assert 0 < len(name) <= LONGEST
        assert name.splitlines() == [name]
        assert name.encode()


def test_a_name_that_is_asked_for_may_be_one_that_the_service_has_given() -> None:
    assert looked_up(DECOMPOSED) == "Portão principal"
    assert looked_up(f"http-{DECOMPOSED}") == "http-Portão principal"
    assert looked_up("_canary") is None
    assert looked_up("http-") is None
    assert looked_up(None) is None
