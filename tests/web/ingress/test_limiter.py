"""Decisions of the connection limiter, without sockets."""

from __future__ import annotations

import asyncio
import dataclasses
import weakref

import pytest

from appliance.token_bucket import TokenBucket
from appliance.web.ingress import limiter as limiter_file
from appliance.web.ingress.budget import Budget, Usage
from appliance.web.ingress.limiter import ConnectionLimiter
from tests.web.ingress.peers import LIMITS, Peer


def test_at_the_limit_the_longest_waiting_connection_is_closed() -> None:
    limiter = ConnectionLimiter(LIMITS, lambda: 0.0)
    peers = [Peer(limiter, f"10.0.0.{number}") for number in range(4)]
    limiter.mark_active(peers[0])
    assert limiter.admit("10.0.0.9")
    assert [peer.closed for peer in peers] == ["", "crowded", "", ""]


def test_with_active_connections_only_a_new_one_is_refused() -> None:
    limiter = ConnectionLimiter(LIMITS, lambda: 0.0)
    peers = [Peer(limiter, f"10.0.0.{number}") for number in range(4)]
    for peer in peers:
        limiter.mark_active(peer)
    assert not limiter.admit("10.0.0.9")
    limiter.remove(peers[2])
    assert limiter.admit("10.0.0.9")


def test_the_limit_per_address_closes_only_connections_of_that_address() -> None:
    limiter = ConnectionLimiter(dataclasses.replace(LIMITS, max_open=100), lambda: 0.0)
    other, first, second = (Peer(limiter, address) for address in ("10.0.0.1", "10.0.0.2", "10.0.0.2"))
    assert limiter.admit("10.0.0.2")
    assert (other.closed, first.closed, second.closed) == ("", "crowded", "")
    third = Peer(limiter, "10.0.0.2")
    limiter.mark_active(second)
    limiter.mark_active(third)
    assert not limiter.admit("10.0.0.2")
    assert limiter.admit("10.0.0.3")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", ""])
def test_the_device_itself_has_no_limit_per_address(address: str) -> None:
    limiter = ConnectionLimiter(dataclasses.replace(LIMITS, max_open=100), lambda: 0.0)
    for _ in range(10):
        assert limiter.admit(address)
        limiter.mark_active(Peer(limiter, address))


def test_closed_connections_are_forgotten() -> None:
    limiter = ConnectionLimiter(dataclasses.replace(LIMITS, max_open=100), lambda: 0.0)
    for _ in range(10):
        peer = Peer(limiter, "10.0.0.1")
        limiter.mark_active(peer)
        limiter.remove(peer)
        limiter.remove(peer)
        limiter.mark_waiting(peer)  # its task ends a moment later
    assert len(limiter) == 0
    assert limiter.admit("10.0.0.1")


def test_over_the_budget_the_largest_and_oldest_usage_is_closed() -> None:
    now = 0.0
    closed: list[str] = []
    budget = Budget(1000, lambda: now)
    stalled = Usage(close=lambda why: closed.append("stalled"))
    small = Usage(close=lambda why: closed.append("small"))
    fresh = Usage(close=lambda why: closed.append("fresh"))
    budget.grow(stalled, 600)
    budget.grow(small, 10)
    now = 30.0
    budget.grow(fresh, 500)
    assert closed == ["stalled"]
    assert (budget.bytes, stalled.bytes, fresh.bytes) == (510, 0, 500)
    budget.release(fresh)
    budget.release(fresh)
    assert budget.bytes == 10


def test_trickled_bytes_do_not_reset_the_age_of_an_upload() -> None:
    now = 0.0
    closed: list[str] = []
    budget = Budget(1000, lambda: now)
    trickle = Usage(close=lambda why: closed.append("trickle"))
    fresh = Usage(close=lambda why: closed.append("fresh"))
    for _ in range(60):
        now += 1
        budget.grow(trickle, 10)
    budget.grow(fresh, 900)
    assert closed == ["trickle"]


def test_a_token_bucket_allows_its_burst_and_then_its_rate() -> None:
    now = 0.0
    bucket = TokenBucket(5, 2.0, lambda: now)
    assert [bucket.take() for _ in range(6)] == [0, 0, 0, 0, 0, 0.5]
    now = 1.0
    assert bucket.take() == 0
    assert bucket.take() == 0.5


def test_long_messages_are_paced_only_while_much_is_unfinished() -> None:
    budget = Budget(64_000_000, lambda: 0.0)
    camera, large, stalled = (Usage(close=lambda why: None) for _ in range(3))
    budget.grow(large, 8_000_000)
    assert budget.wait_s(large, 8_000_000) == 0, "a large picture on a quiet device"
    budget.grow(stalled, 30_000_000)
    budget.grow(camera, 200_000)
    assert budget.wait_s(camera, 200_000) == 0, "a camera's frame is short"
    assert budget.wait_s(stalled, 3_000_000) == 0
    assert budget.wait_s(large, 9_000_000) == 0.5, "8 MB above the burst, at 16 MB/s"
    assert budget.wait_s(stalled, 90_000_000) == 1.0, "bounded"


def test_an_address_that_connects_too_fast_is_refused() -> None:
    limiter = ConnectionLimiter(dataclasses.replace(LIMITS, max_open=10_000, max_per_address=500), lambda: 0.0)
    for address in ("10.0.0.1", "127.0.0.1"):
        for _ in range(1000):
            peer = limiter.peers.get(address)
            if peer is not None:
                peer.connect()
    assert not limiter.admit("10.0.0.1")
    assert limiter.admit("127.0.0.1")
    assert limiter.admit("10.0.0.2")


async def test_the_sweep_keeps_no_closed_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """With it, its unread requests would stay until another connection is open."""
    monkeypatch.setattr(limiter_file, "_SWEEP_S", 0.0)
    limiter, swept = ConnectionLimiter(LIMITS, lambda: 0.0), asyncio.Event()
    peer = Peer(limiter, "10.0.0.1")
    gone = weakref.ref(peer)
    sweeping = asyncio.create_task(limiter.run(lambda _: swept.set()))
    await swept.wait()
    limiter.remove(peer)
    del peer
    assert gone() is None
    sweeping.cancel()
    await asyncio.wait({sweeping})
