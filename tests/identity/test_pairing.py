"""Cameras that wait for approval."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance.identity.pairing import Pairings, code_of
from appliance.identity.tokens import TokenError
from tests.fakes import FakeClock

TOKEN = "t" * 40


def test_both_sides_show_the_same_code() -> None:
    asking = Pairings(FakeClock()).ask("gate", TOKEN, "192.168.1.5")
    assert asking is not None
    assert asking.code == code_of("gate", TOKEN)
    assert code_of("gate", TOKEN) != code_of("gate", "u" * 40)
    assert len(asking.code) == 7


def test_a_request_waits_while_the_camera_repeats_it_and_is_forgotten_afterwards() -> None:
    clock = FakeClock()
    pairings = Pairings(clock)
    for _ in range(10):
        pairings.ask("gate", TOKEN, "192.168.1.5")
        clock.pass_(600)
    assert len(pairings.waiting()) == 1
    clock.pass_(301)
    assert pairings.waiting() == ()


def test_few_requests_are_kept_in_all_and_of_one_address() -> None:
    pairings = Pairings(FakeClock())
    asked = [pairings.ask(f"camera {number}", TOKEN, "192.168.1.5") for number in range(10)]
    assert sum(one is not None for one in asked) == 4
    for number in range(100):
        pairings.ask("gate", f"{number}" * 40, f"10.0.0.{number}")
    assert len(pairings.waiting()) == 32


@pytest.mark.parametrize(
    "address_of",
    [lambda number: f"10.0.0.{number // 4}", lambda number: f"fe80::{number:x}"],
    ids=["eight_addresses", "one_ipv6_host"],
)
def test_one_machine_does_not_take_all_places(address_of: Callable[[int], str]) -> None:
    pairings = Pairings(FakeClock())
    for number in range(100):
        pairings.ask(f"x{number}", f"{number:02}" * 20, address_of(number % 32))
    assert pairings.ask("gate", TOKEN, "192.168.1.5") is not None
    for number in range(100):
        pairings.ask(f"x{number}", f"{number:02}" * 20, address_of(number % 32))
    assert len(pairings.waiting()) <= 32
    assert "gate" in [one.name for one in pairings.waiting()]


def test_requests_that_move_to_another_address_count_there() -> None:
    pairings = Pairings(FakeClock())
    for number in range(32):
        for address in ("10.0.0.66", "10.0.0.67"):
            pairings.ask(f"x{number}", f"{number:02}" * 20, address)
    held = [one.address for one in pairings.waiting()]
    assert (held.count("10.0.0.66"), held.count("10.0.0.67")) == (4, 4)
    moved = pairings.ask("gate", TOKEN, "192.168.1.5")
    assert moved is not None
    moved = pairings.ask("gate", TOKEN, "192.168.1.6")
    assert moved is not None
    assert moved.address == "192.168.1.6"


def test_an_operator_picks_the_right_one_by_its_code() -> None:
    pairings = Pairings(FakeClock())
    pairings.ask("gate", TOKEN, "192.168.1.5")
    pairings.ask("gate", "u" * 40, "192.168.1.66")
    with pytest.raises(TokenError, match=code_of("gate", TOKEN)) as error:
        pairings.find("gate")
    assert error.value.code == "pairing_ambiguous"
    right = pairings.find("gate", code_of("gate", TOKEN).replace(" ", ""))
    assert right.token == TOKEN
    pairings.forget(right)
    other = pairings.find("gate")
    assert other.token == "u" * 40
    pairings.forget(other)
    with pytest.raises(TokenError) as error:
        pairings.find("gate")
    assert error.value.code == "pairing_unknown"


@pytest.mark.parametrize(("code", "which"), [("", "approval"), ("123 456", "approval with this code")])
def test_approving_a_camera_that_does_not_wait_says_where_to_see_those_that_do(code: str, which: str) -> None:
    with pytest.raises(TokenError) as caught:
        Pairings(FakeClock()).find("gate", code)
    assert str(caught.value) == (f"no camera 'gate' waits for {which}. To see those that wait: appliance token list")
