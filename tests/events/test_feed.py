"""The feed: every camera's objects, what a returning subscriber gets, and the best pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from appliance.events.feed import MAX_PICTURE_BYTES, EventFeed
from appliance.events.object_event import EndReason, ObjectEvent, payload_of
from appliance.events.objects import EventRules
from appliance.values import Detected, Detection, Failed, Frame, Size, Timing
from tests.events.sights import person
from tests.fakes import FakeClock
from tests.flow.frames import frame, jpeg

RULES = EventRules(on_delay_s=0)
WIRE = Path(__file__).parents[2] / "docs/wire.md"


class Rig:
    """A feed and what it sends. `see` passes one second after each frame."""

    def __init__(self, *, pictures_allowed: bool = False, rules: EventRules | None = RULES) -> None:
        self.clock = FakeClock()
        self.feed = EventFeed(rules, pictures_allowed=pictures_allowed, clock=self.clock, wall_clock=lambda: 1.7e9)
        self.sent: list[ObjectEvent] = []
        self.feed.add(self.sent.append)

    def see(self, *detections: Detection, camera: str = "gate") -> Frame:
        one = frame(camera, seed=1, at_s=self.clock())
        size = Size(1280, 720)
        self.feed.note(one, Detected(detections, size, size, "fake", Timing(0, 0, 0, 0)))
        self.clock.pass_(1)
        return one

    def received(self) -> list[tuple[str, str]]:
        return [(one.camera, one.kind) for one in self.sent]


def test_each_camera_has_objects_of_its_own() -> None:
    rig = Rig()
    rig.see(person())
    rig.see(person(), camera="yard")
    assert rig.received() == [("gate", "start"), ("yard", "start")]
    assert len({one.object_id for one in rig.sent}) == 2


def test_failures_and_the_devices_own_frames_are_no_events() -> None:
    rig = Rig()
    rig.see(person(), camera="_self-test")
    rig.feed.note(frame("gate"), Failed("x", "y"))
    assert rig.sent == []


def test_objects_of_a_silent_camera_and_of_a_stopping_device_end() -> None:
    rig = Rig()
    rig.see(person())
    rig.clock.pass_(60)
    rig.feed.tick()
    rig.see(person(), camera="yard")
    rig.feed.close("device_stopped")
    rig.feed.close("device_stopped")
    assert [(one.camera, one.reason) for one in rig.sent if one.kind == "end"] == [
        ("gate", "camera_silent"), ("yard", "device_stopped")
    ]  # fmt: skip


def test_switched_off_events_end_and_no_new_ones_start() -> None:
    rig = Rig()
    rig.see(person())
    rig.feed.follow(None)
    rig.see(person())
    assert rig.received() == [("gate", "start"), ("gate", "end")]
    rig.feed.follow(RULES)
    rig.see(person())
    assert rig.received()[2:] == [("gate", "start")]


def test_new_rules_apply_to_known_cameras() -> None:
    rig = Rig()
    rig.see(person())
    rig.feed.follow(EventRules(on_delay_s=0, off_delay_s=1))
    rig.see()
    rig.see()
    assert rig.received()[-1] == ("gate", "end")


def test_occupancy_counts_classes_and_zones() -> None:
    rig = Rig()
    rig.see(person(200, zones=("yard",)), person(900, zones=()), person(600, zones=("yard",), class_id=1))
    occupancy = rig.feed.occupancy("gate")
    assert occupancy.classes == {"person": 2, "car": 1}
    assert occupancy.zones == {"yard": {"person": 1, "car": 1}}
    assert not rig.feed.occupancy("yard").classes


def test_a_new_subscriber_gets_the_starts_of_what_is_present() -> None:
    rig = Rig()
    rig.see(person())
    rig.see(person(), camera="yard")
    recall = rig.feed.recall(lambda camera: camera == "yard")
    assert [(one.camera, one.kind) for one in recall.events] == [("yard", "start")]
    assert not recall.resumed


def test_a_returning_subscriber_continues_after_its_last_event() -> None:
    rig = Rig()
    rig.see(person(100))
    cursor = rig.sent[-1].cursor
    rig.see(person(100), person(1000))
    for _ in range(6):
        rig.see(person(100))
    recall = rig.feed.recall(lambda camera: True, cursor)
    assert recall.resumed
    assert [one.kind for one in recall.events] == ["start", "end"]
    assert recall.known == {rig.sent[0].object_id}  # it has heard this start
    assert rig.feed.recall(lambda camera: True, rig.sent[-1].cursor).events == ()


def test_a_cursor_of_an_earlier_run_or_too_long_ago_starts_afresh() -> None:
    rig = Rig()
    rig.see(person())
    run = rig.sent[0].run
    for cursor in ("0000-1", "nonsense", "", 5, f"{run}-x", f"{run}-²", f"{run}-" + "9" * 50):
        assert not rig.feed.recall(lambda camera: True, cursor).resumed
    for _ in range(600):
        rig.see()
        rig.clock.pass_(10)
        rig.see()
        rig.see(person())
    assert not rig.feed.recall(lambda camera: True, f"{run}-1").resumed
    assert rig.feed.recall(lambda camera: True, rig.sent[-3].cursor).resumed


def test_switching_events_off_ends_all_objects_and_says_why() -> None:
    rig = Rig()
    rig.see(person())
    rig.feed.follow(None)
    rig.see(person())
    assert [(event.kind, event.reason) for event in rig.sent] == [("start", None), ("end", "events_off")]


def test_each_reason_of_an_end_is_documented() -> None:
    (row,) = re.findall(r"^\| `reason` \| of an end: (.*)$", WIRE.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) == set(get_args(EndReason))


def test_the_most_certain_picture_is_kept_where_pictures_are_allowed() -> None:
    rig = Rig(pictures_allowed=True)
    rig.see(person(confidence=0.6))
    best = rig.see(person(confidence=0.9))
    rig.see(person(confidence=0.7))
    rig.feed.close("device_stopped")
    (start, end) = rig.sent
    assert rig.feed.pictures.get(start.object_id) is best
    assert payload_of(end)["picture"] == f"/events/{start.object_id}/picture.jpg"


def test_no_picture_is_kept_unless_allowed() -> None:
    rig = Rig()
    rig.see(person())
    assert rig.feed.pictures.get(rig.sent[0].object_id) is None
    assert payload_of(rig.sent[0])["picture"] is None


def test_pictures_of_events_are_bounded() -> None:
    rig = Rig(pictures_allowed=True)
    large = jpeg(1, 1600, 1200)
    size = Size(1600, 1200)
    rounds = 3 * MAX_PICTURE_BYTES // len(large)
    for number in range(rounds):
        one = frame(f"c{number}", data=large, at_s=rig.clock())
        rig.feed.note(one, Detected((person(),), size, size, "fake", Timing(0, 0, 0, 0)))
    kept = [one for one in rig.sent if rig.feed.pictures.get(one.object_id)]
    assert 0 < sum(len(large) for _ in kept) <= MAX_PICTURE_BYTES
    assert kept[-1] is rig.sent[-1]


def test_a_receiver_that_fails_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    later: list[ObjectEvent] = []

    def fail(event: ObjectEvent) -> None:
        raise KeyError(event.object_id)

    rig.feed.add(fail)
    rig.feed.add(later.append)
    rig.see(person())
    rig.clock.pass_(60)
    rig.feed.tick()
    assert rig.received() == [("gate", "start"), ("gate", "end")]
    assert later == rig.sent
    assert "a receiver failed on an event: camera=gate" in caplog.text
