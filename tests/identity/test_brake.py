"""Guessing tokens is slow, and locks out nobody else."""

from __future__ import annotations

import pytest

from appliance.identity.brake import Brake
from tests.fakes import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def guesses_in(brake: Brake, clock: FakeClock, seconds: float, address: str, name: str = "gate") -> int:
    """How many tokens a client can try that repeats at once whenever it may."""
    end, count = clock() + seconds, 0
    while clock() < end:
        if brake.wait_s(address, name) == 0:
            brake.failed(address, name)
            count += 1
        else:
            clock.pass_(0.05)
    return count


def test_one_address_tries_at_most_a_dozen_tokens_of_a_name_in_five_minutes(clock: FakeClock) -> None:
    assert guesses_in(Brake(clock), clock, 300, "192.168.1.66") <= 16


def test_one_address_tries_at_most_one_token_a_second_under_changing_names(clock: FakeClock) -> None:
    brake, count = Brake(clock), 0
    for step in range(600):
        if brake.wait_s("192.168.1.66", f"camera {step}") == 0:
            brake.failed("192.168.1.66", f"camera {step}")
            count += 1
        clock.pass_(0.1)
    assert count <= 20 + 61


def test_many_addresses_try_at_most_one_token_a_second_under_one_name(clock: FakeClock) -> None:
    brake, count = Brake(clock), 0
    for step in range(600):
        if brake.wait_s(f"10.0.{step // 250}.{step % 250}", "gate") == 0:
            brake.failed(f"10.0.{step // 250}.{step % 250}", "gate")
            count += 1
        clock.pass_(0.1)
    assert count <= 20 + 61


def test_an_ipv6_client_cannot_escape_by_changing_its_address(clock: FakeClock) -> None:
    brake = Brake(clock)
    for number in range(10):
        brake.failed(f"2001:db8::{number:x}", "gate")
    assert brake.wait_s("2001:db8::ffff", "gate") > 0
    assert brake.wait_s("2001:db8:1::1", "yard") == 0


def test_others_are_not_locked_out(clock: FakeClock) -> None:
    brake = Brake(clock)
    brake.worked("192.168.1.5", "credential")
    guesses_in(brake, clock, 60, "192.168.1.5", "gate")
    assert brake.wait_s("192.168.1.5", "gate") > 0
    assert brake.wait_s("192.168.1.5", "door") == 0  # another camera behind the same router
    assert brake.wait_s("192.168.1.6", "gate") == 0
    assert brake.knows("192.168.1.5", "credential")  # never held up


def test_the_wait_ends_and_the_right_token_clears_it(clock: FakeClock) -> None:
    brake = Brake(clock)
    for _ in range(30):
        brake.failed("192.168.1.5", "gate")
    assert 0 < brake.wait_s("192.168.1.5", "gate") <= 60
    clock.pass_(61)
    assert brake.wait_s("192.168.1.5", "gate") == 0
    brake.forgive("192.168.1.5", "gate")
    brake.failed("192.168.1.5", "gate")
    assert brake.wait_s("192.168.1.5", "gate") == 0


def test_a_token_that_was_ignored_is_known_by_its_address_and_name(clock: FakeClock) -> None:
    """The same token under another name, or from another address, is another guess."""
    brake = Brake(clock)
    brake.ignored("2001:db8::1", "gate", "hash")
    assert brake.ignores("2001:db8::2", "gate", "hash")
    assert not brake.ignores("2001:db8::1", "yard", "hash")
    assert not brake.ignores("2001:db8:1::1", "gate", "hash")
    assert not brake.ignores("2001:db8::1", "gate", "another")


def test_many_wrong_tokens_are_reported_with_their_address(clock: FakeClock) -> None:
    brake = Brake(clock)
    assert brake.guessing() is None
    for _ in range(25):
        brake.failed("192.168.1.66", "gate")
    brake.failed("192.168.1.7", "gate")
    guessing = brake.guessing()
    assert guessing is not None
    assert (guessing.attempts, guessing.address) == (26, "192.168.1.66")
    clock.pass_(601)
    assert brake.guessing() is None


def test_tokens_that_are_held_up_count_as_an_attack(clock: FakeClock) -> None:
    """An attacker who never pauses has few tokens compared."""
    brake = Brake(clock)
    for _ in range(100):
        if brake.wait_s("192.168.1.66", "") > 0:
            brake.held_up("192.168.1.66", "")
        else:
            brake.failed("192.168.1.66", "")
    guessing = brake.guessing()
    assert guessing is not None
    assert (guessing.attempts, guessing.address) == (100, "192.168.1.66")


def test_tokens_that_are_held_up_do_not_shorten_a_wait(clock: FakeClock) -> None:
    """Under ever new names they would push the attacker's own waits out of the memory."""
    brake = Brake(clock)
    for _ in range(30):
        brake.failed("192.168.1.66", "gate")
    for number in range(3000):
        brake.held_up("192.168.1.66", f"n{number}")
    clock.pass_(20)
    assert brake.wait_s("192.168.1.66", "gate") > 0
    assert len(brake._pairs) <= 2
    guessing = brake.guessing()
    assert guessing is not None
    assert guessing.attempts == 3030


def test_memory_is_bounded(clock: FakeClock) -> None:
    brake = Brake(clock)
    for number in range(6000):
        brake.failed(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}", f"n{number}")
        brake.ignored("192.168.1.5", "gate", f"{number:064x}")
    assert max(len(brake._pairs), len(brake._levels), len(brake._ignored)) <= 4096
