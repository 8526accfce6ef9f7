"""Outgoing events: a slow reader delays no other client and does not grow memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.values import CameraLimits, Detected, Failed, Frame, Size, Skipped, SkipReason, Timing
from appliance.web.publisher import Publisher
from appliance.web.subscriptions import EVERY, MAX_SUBSCRIPTIONS, MAX_SUBSCRIPTIONS_IN_TOTAL
from tests.flow.frames import frame

FOUND = Detected((), Size(64, 48), Size(64, 64), "fake", Timing(0, 0, 0, 0))
LIMITS = CameraLimits(0.5, 640, 80, "normal")


class Transport:
    """A transport whose `stuck` clients do not read."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, Any]] = []
        self.stuck: set[str] = set()
        self.unread: Counter[str] = Counter()

    async def emit(self, event: str, payload: Mapping[str, Any], sid: str) -> None:
        self.sent.append((sid, event, payload))
        if sid in self.stuck:
            self.unread[sid] += 1

    def backlog(self, sid: str) -> int:
        return self.unread[sid]

    def to(self, sid: str, event: str = "detection_results") -> list[Any]:
        return [payload for receiver, name, payload in self.sent if receiver == sid and name == event]


@asynccontextmanager
async def working(publisher: Publisher) -> AsyncIterator[None]:
    task = asyncio.create_task(publisher.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until_sent(transport: Transport, count: int) -> None:
    with anyio.fail_after(5):
        while len(transport.sent) < count:
            await asyncio.sleep(0.001)


def made() -> tuple[Transport, Publisher]:
    transport = Transport()
    return transport, Publisher(emit=transport.emit, backlog=transport.backlog)


def of(sid: str, camera: str | None = None) -> Frame:
    return replace(frame(camera or sid), sender=sid)


async def test_a_slow_reader_gets_its_newest_events_and_drops_are_counted() -> None:
    transport, publisher = made()
    publisher.join("slow", "slow")
    publisher.join("fast", "fast")
    transport.stuck.add("slow")
    async with working(publisher):
        for number in range(1000):
            publisher.publish(replace(of("slow"), frame_id=number), FOUND)
            publisher.publish(replace(of("fast"), frame_id=number), FOUND)
            await asyncio.sleep(0)
        with anyio.fail_after(5):
            while len(transport.to("fast")) < 1000:
                await asyncio.sleep(0.001)
        before = len(transport.to("slow"))
        assert before < 50
        transport.stuck.clear()
        transport.unread.clear()
        with anyio.fail_after(5):
            while not transport.to("slow") or transport.to("slow")[-1]["frame_id"] != 999:
                await asyncio.sleep(0.001)
    ids = [payload["frame_id"] for payload in transport.to("slow")]
    assert len(ids) < 100
    assert ids == sorted(ids)
    assert publisher.dropped == 1000 - len(ids)
    after = ids[before:]
    assert after == list(range(1000 - len(after), 1000))


async def test_results_go_to_sender_and_subscribers_and_errors_to_the_sender_only() -> None:
    transport, publisher = made()
    for sid in ("gate", "one", "all", "none"):
        publisher.join(sid, sid)
    publisher.subscribe("one", ["gate"])
    publisher.subscribe("all", [EVERY])
    async with working(publisher):
        publisher.publish(of("gate"), FOUND)
        await until_sent(transport, 3)
        publisher.publish(of("gate"), Failed("image_corrupt", "damaged"))
        await until_sent(transport, 4)
    assert sorted(sid for sid, event, _ in transport.sent if event == "detection_results") == ["all", "gate", "one"]
    assert [sid for sid, event, _ in transport.sent if event == "detection_error"] == ["gate"]


async def test_a_client_subscribed_twice_gets_each_result_once() -> None:
    transport, publisher = made()
    publisher.join("viewer", "viewer")
    publisher.subscribe("viewer", ["gate", EVERY])
    async with working(publisher):
        publisher.publish(of("gate"), FOUND)
        publisher.post("viewer", "last", {})
        await until_sent(transport, 2)
    assert len(transport.to("viewer")) == 1


async def test_the_canary_is_never_published() -> None:
    transport, publisher = made()
    publisher.join("viewer", "viewer")
    publisher.subscribe("viewer", [EVERY])
    async with working(publisher):
        publisher.publish(of("_canary"), FOUND)
        publisher.post("viewer", "last", {})
        await until_sent(transport, 1)
    assert [event for _, event, _ in transport.sent] == ["last"]
    assert publisher.latest("_canary") is None


async def test_limits_reach_every_connection_of_a_camera_after_connected() -> None:
    transport, publisher = made()
    for sid in ("first", "second"):
        publisher.join(sid, "gate")
        publisher.post(sid, "connected", {})
    publisher.join("other", "yard")
    publisher.announce("gate", LIMITS)
    async with working(publisher):
        await until_sent(transport, 4)
    for sid in ("first", "second"):
        assert [event for receiver, event, _ in transport.sent if receiver == sid] == ["connected", "limits"]
    assert not transport.to("other", "limits")


async def test_a_disconnected_client_gets_nothing_and_is_forgotten() -> None:
    transport, publisher = made()
    publisher.join("gate", "gate")
    publisher.join("viewer", "viewer")
    publisher.subscribe("viewer", ["gate"])
    publisher.publish(of("gate"), FOUND)
    assert publisher.latest("gate") is not None
    assert publisher.leave("gate") == "gate"
    assert publisher.latest("gate") is None
    assert publisher.leave("viewer") == "viewer"
    assert publisher.leave("viewer") is None
    assert publisher.camera_of("gate") is None
    assert len(publisher) == 0
    publisher.publish(of("gate"), FOUND)
    publisher.announce("gate", LIMITS)
    async with working(publisher):
        await asyncio.sleep(0.01)
    assert transport.sent == []


async def test_pictures_are_kept_only_of_cameras_with_subscribers() -> None:
    _, publisher = made()
    for sid in ("gate", "yard", "one", "two"):
        publisher.join(sid, sid)
    publisher.subscribe("one", ["gate"])
    publisher.subscribe("two", ["yard"])
    newest = of("gate")
    for shown in (of("gate"), newest, of("yard")):
        publisher.publish(shown, FOUND)
    assert publisher.latest("gate") is newest
    publisher.unsubscribe("one", ["gate"])
    assert publisher.latest("gate") is None
    assert publisher.latest("yard") is not None
    publisher.subscribe("one", [EVERY])
    publisher.publish(of("gate"), FOUND)
    assert publisher.latest("gate") is not None
    publisher.leave("one")
    assert publisher.latest("gate") is None


SIDS = ("a", "b", "c")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["join", "leave", "subscribe", "unsubscribe", "publish", "announce", "stick", "flow"]),
            st.sampled_from(SIDS),
            st.sampled_from([*SIDS, EVERY]),
        ),
        max_size=60,
    )
)
@settings(deadline=None)
def test_no_sequence_of_events_leaves_state_of_disconnected_clients(steps: list[tuple[str, str, str]]) -> None:
    async def run() -> None:
        transport, publisher = made()
        inside: set[str] = set()
        async with working(publisher):
            for act, sid, other in steps:
                if act == "join" and sid not in inside:
                    publisher.join(sid, sid)
                    inside.add(sid)
                elif act == "leave":
                    assert (publisher.leave(sid) == sid) is (sid in inside)
                    inside.discard(sid)
                elif act in ("subscribe", "unsubscribe") and sid in inside:
                    getattr(publisher, act)(sid, [other])
                elif act == "publish":
                    publisher.publish(of(sid), FOUND)
                elif act == "announce":
                    publisher.announce(sid, LIMITS)
                elif act == "stick":
                    transport.stuck.add(sid)
                elif act == "flow":
                    transport.stuck.discard(sid)
                    transport.unread[sid] = 0
                assert len(publisher) == len(inside)
                await asyncio.sleep(0)
            for sid in list(inside):
                publisher.leave(sid)
        assert len(publisher) == 0
        assert not publisher._subscriptions._followers
        assert not publisher._pictures._frames
        assert not publisher._of_camera
        assert not publisher._pending

    anyio.run(run)


async def test_a_camera_that_disconnects_during_inference_leaves_no_picture() -> None:
    _, publisher = made()
    publisher.join("page", "page")
    publisher.subscribe("page", [EVERY])
    publisher.join("1", "gate")
    publisher.publish(frame("gate"), FOUND)
    assert publisher.latest("gate") is not None
    publisher.leave("1")
    publisher.publish(frame("gate"), FOUND)
    assert publisher.latest("gate") is None
    publisher.publish(frame("http-1"), FOUND)
    assert publisher.latest("http-1") is not None


async def test_a_failing_transport_affects_only_its_own_client() -> None:
    transport = Transport()

    async def emit(event: str, payload: Mapping[str, Any], sid: str) -> None:
        if sid == "bad":
            raise ConnectionResetError("gone in the middle")
        await transport.emit(event, payload, sid)

    publisher = Publisher(emit=emit, backlog=transport.backlog)
    publisher.join("bad", "bad")
    publisher.join("good", "good")
    async with working(publisher):
        for number in range(5):
            publisher.post("bad", "detection_results", {"frame_id": number})
            publisher.announce("bad", LIMITS)
            publisher.post("good", "detection_results", {"frame_id": number})
            await until_sent(transport, number + 1)
    assert [payload["frame_id"] for payload in transport.to("good")] == [0, 1, 2, 3, 4]
    assert publisher.leave("bad") == "bad"


async def test_a_client_that_joins_twice_keeps_its_first_name() -> None:
    transport, publisher = made()
    publisher.join("a", "one")
    publisher.join("a", "two")
    publisher.announce("two", LIMITS)
    assert publisher.camera_of("a") == "one"
    assert publisher.leave("a") == "one"
    assert not publisher._of_camera
    publisher.announce("one", LIMITS)
    assert transport.sent == []


async def test_posted_events_are_delivered_before_shutdown_continues() -> None:
    transport, publisher = made()
    publisher.join("a", "gate")
    async with working(publisher):
        publisher.post("a", "detection_results", {"frame_id": 1})
        with anyio.fail_after(10):
            await publisher.drain(5)
        assert len(transport.to("a")) == 1
        transport.stuck.add("a")
        publisher.post("a", "detection_results", {"frame_id": 2})
        await publisher.drain(0.05)  # does not wait for a client that does not read


async def test_the_total_of_subscriptions_is_limited() -> None:
    _, publisher = made()
    full = MAX_SUBSCRIPTIONS_IN_TOTAL // MAX_SUBSCRIPTIONS
    for number in range(full + 1):
        publisher.join(f"{number}", f"camera-{number}")
        names = {f"{number}-{name}" for name in range(MAX_SUBSCRIPTIONS)}
        assert publisher.subscribe(f"{number}", names) == (number < full)
        assert publisher.subscribe(f"{number}", names) == (number < full), "again: no more names than before"
    publisher.unsubscribe("0", ["0-1", "0-2", "not watched", "0-1"])
    assert publisher.subscribe(f"{full}", ["a", "b"])
    assert not publisher.subscribe(f"{full}", ["c"])
    publisher.leave("1")
    assert publisher.subscribe(f"{full}", {f"{name}" for name in range(MAX_SUBSCRIPTIONS - 2)})
    for number in range(full + 1):
        publisher.leave(f"{number}")
    assert len(publisher._subscriptions) == 0
    assert not publisher._subscriptions._followers


async def test_a_client_may_want_the_results_of_this_device_only() -> None:
    transport, publisher = made()
    for sid in ("page", "wall"):
        publisher.join(sid, sid)
    publisher.subscribe("page", [EVERY], of_site=False)
    assert publisher.subscribed() == frozenset()
    publisher.subscribe("wall", ["gate"])
    assert publisher.subscribed() == {"gate"}
    publisher.subscribe("wall", [EVERY])
    async with working(publisher):
        publisher.deliver("gate", {"camera": "gate"})
        publisher.publish(frame("yard"), FOUND)
        await until_sent(transport, 3)
    assert [one["camera"] for one in transport.to("wall")] == ["gate", "yard"]
    assert [one["camera"] for one in transport.to("page")] == ["yard"]
    publisher.leave("wall")
    assert publisher.subscribed() == frozenset()


async def test_a_skipped_frame_is_predicted_for_the_sender_that_asked_and_for_nobody_else() -> None:
    transport = Transport()
    publisher = Publisher(
        emit=transport.emit, backlog=transport.backlog, predict=lambda camera, at_s: FOUND if camera != "new" else None
    )
    elsewhere: list[str] = []
    publisher.elsewhere = lambda camera, payload: elsewhere.append(camera)
    for sid in ("gate", "new"):
        publisher.join(sid, sid, predicts=True)
    for sid in ("yard", "viewer"):
        publisher.join(sid, sid)
    publisher.subscribe("viewer", [EVERY])
    async with working(publisher):
        for sid in ("gate", "new", "yard"):
            publisher.publish(replace(of(sid), captured_at=7.0), Skipped(SkipReason.SUPERSEDED, 0.5))
        publisher.publish(of("gate"), Failed("image_corrupt", "damaged"))
        await until_sent(transport, 4)
    (predicted,) = transport.to("gate")
    assert predicted["predicted"] is True
    assert (predicted["camera"], predicted["captured_at"]) == ("gate", 7.0)
    assert (predicted["reason"], predicted["retry_after"]) == ("superseded", 0.5)
    assert len(transport.to("gate", "detection_error")) == 1
    assert len(transport.to("new", "frame_skipped")) == len(transport.to("yard", "frame_skipped")) == 1
    assert not transport.to("viewer")
    assert not elsewhere


async def test_predicted_answers_never_push_results_out_of_the_outbox() -> None:
    transport = Transport()
    publisher = Publisher(emit=transport.emit, backlog=transport.backlog, predict=lambda camera, at_s: FOUND)
    publisher.join("gate", "gate", predicts=True)
    publisher.publish(replace(of("gate"), frame_id="found"), FOUND)
    for _ in range(100):
        publisher.publish(of("gate"), Skipped(SkipReason.RATE_LIMITED, 0.5))
    async with working(publisher):
        await until_sent(transport, 2)
    assert transport.to("gate")[0]["frame_id"] == "found"
