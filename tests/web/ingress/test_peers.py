"""Limits per address, without any socket."""

from __future__ import annotations

import pytest

from appliance.web.ingress.limits import message_work
from appliance.web.ingress.peers import Peers


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", ""])
def test_the_device_itself_has_no_limits(address: str) -> None:
    assert Peers(Clock()).get(address) is None


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.66.1", "fe80::1%eth0", "::ffff:10.0.0.1"])
def test_every_other_address_has_limits(address: str) -> None:
    peers = Peers(Clock())
    assert peers.get(address) is not None
    assert peers.get(address) is peers.get(address)


def test_all_cameras_behind_one_router_connect_at_once_and_a_flood_waits_and_is_refused() -> None:
    clock = Clock()
    peer = Peers(clock).get("10.0.0.1")
    assert peer is not None
    assert [peer.connect() for _ in range(60)] == [0.0] * 60
    waits = [peer.connect() for _ in range(400)]
    assert waits == sorted(waits)
    assert waits[-1] > 1
    assert not peer.may_connect
    clock.now = 60
    assert peer.may_connect
    assert peer.connect() == 0


def test_a_crowd_from_many_addresses_takes_turns_and_nobody_waits_long() -> None:
    clock = Clock()
    peers = Peers(clock)
    waits = [peers.connect(f"10.0.0.{number % 250}") for number in range(500)]
    assert waits[:40] == [0.0] * 40
    assert waits == sorted(waits)
    assert max(waits) == 3.0
    assert peers.connect("127.0.0.1") == 0.0
    clock.now = 5
    assert peers.connect("10.0.0.1") == 0.0


def test_a_proxy_elsewhere_gets_higher_limits_with_its_connections() -> None:
    peer = Peers(Clock(), max_per_address=5000).get("10.0.0.1")
    assert peer is not None
    assert [peer.connect() for _ in range(600)] == [0.0] * 600
    assert peer.work.take(10_000) == 0


def test_violations_slow_an_address_down_for_seconds_and_not_for_minutes() -> None:
    clock = Clock()
    peer = Peers(clock).get("10.0.0.1")
    assert peer is not None
    for _ in range(1000):
        peer.penalize()
    assert not peer.may_connect
    clock.now = 2
    assert peer.may_connect


def test_refused_clients_slow_their_address_down_only_while_there_are_too_many_of_all() -> None:
    clock = Clock()
    peers = Peers(clock)
    few, many = peers.get("10.0.0.1"), peers.get("10.0.0.2")
    assert few is not None
    assert many is not None
    for _ in range(60):
        peers.refused("10.0.0.1")
    assert few.connect() == 0, "a site whose cameras wait for approval"
    for _ in range(100):
        peers.refused("10.0.0.2")
    assert few.connect() == 0
    assert 3 < many.connect() < 5
    clock.now = 6
    assert many.connect() == 0
    peers.refused("127.0.0.1")  # has no limits


def test_reconnecting_does_not_reset_limits_and_an_idle_address_is_forgotten() -> None:
    clock = Clock()
    peers = Peers(clock)
    peer = peers.get("10.0.0.1")
    assert peer is not None
    peer.connect()
    peer.work.take(1000)
    peers.forget_idle()
    assert peers.get("10.0.0.1") is peer
    clock.now = 10
    peers.forget_idle()
    assert len(peers) == 0


def test_an_open_connection_is_remembered_and_closed_ones_are_bounded() -> None:
    peers = Peers(Clock())
    held = peers.get("10.1.0.1")
    assert held is not None
    held.open = 1
    for number in range(5000):
        peer = peers.get(f"10.0.{number // 250}.{number % 250}")
        assert peer is not None
        peer.connect()
    peers.forget_idle()
    assert len(peers) == 4097
    assert peers.get("10.1.0.1") is held


def test_frames_count_least_and_everything_else_counts_more() -> None:
    picture = bytes(5000)
    assert message_work('451-["process_frame",{"_placeholder":true,"num":0}]') == 4
    assert message_work('451-7["process_frame",{"_placeholder":true,"num":0}]') == 4
    assert message_work(picture) == message_work('42["process_frame","' + "A" * 5000 + '"]') == 4
    for message in ("2", "3", "40/x,", '42["connect",{}]', '42["process_frame","x"]', b"x", '451-/x,["process_frame"]'):
        assert message_work(message) == 16
