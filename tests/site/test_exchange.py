"""Results and presence between devices, on a bus in memory."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.site.bus import Subjects
from appliance.site.exchange import KEEP_S, MOST_BYTES, Exchange, SharedResult
from appliance.site.presence import GONE_S, WANTS_S, Gone, Neighbours, Presence, wanted_of
from appliance.site.repeats import SentLately
from tests.fakes import FakeClock

SUBJECTS = Subjects("site")


class FakeBus:
    """Keeps what is published."""

    problem: str | None = None

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.wanted: frozenset[str] = frozenset()

    def publish(self, subject: str, message: bytes) -> None:
        self.sent.append((subject, message))

    def want(self, subjects: frozenset[str]) -> None:
        self.wanted = subjects


class FakeViewers:
    """Keeps what is delivered."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []

    def subscribed(self) -> frozenset[str]:
        return frozenset({"gate"})

    def deliver(self, camera: str, payload: dict[str, Any]) -> None:
        self.got.append((camera, payload))


def presence(device: str = "box2", **fields: Any) -> Presence:
    return Presence(**{"device": device, "version": "1", "state": "ok", "headroom": 1.0, "capacity": 10.0, **fields})


def presence_message(device: str = "box2", **fields: Any) -> bytes:
    return msgspec.json.encode(presence(device, **fields))


class Rig:
    """One device on a fake bus."""

    def __init__(self, device: str = "box1") -> None:
        self.clock, self.wall_clock, self.bus, self.viewers = FakeClock(), FakeClock(1.8e9), FakeBus(), FakeViewers()
        self.findings: list[dict[str, Any]] = []
        self.exchange = Exchange(
            self.bus,
            subjects=SUBJECTS,
            viewers=self.viewers,
            describe=lambda: presence(device),
            neighbours=Neighbours(device, self.clock),
            clock=self.clock,
            wall_clock=self.wall_clock,
            findings=lambda: self.findings,
        )

    def result(self, camera: str = "gate", device: str = "box2", at_s: float | None = None) -> bytes:
        at = self.clock() if at_s is None else at_s
        return msgspec.json.encode(SharedResult(device, at, camera, {"camera": camera, "detections": []}))


def test_a_result_leaves_only_while_another_device_wants_its_camera() -> None:
    rig = Rig()
    rig.exchange.publish("gate", {"camera": "gate"})
    assert rig.bus.sent == []
    rig.exchange.receive(SUBJECTS.presence, presence_message(wants=("gate",)))
    rig.exchange.publish("gate", {"camera": "gate"})
    rig.exchange.publish("yard", {"camera": "yard"})
    assert [subject for subject, _ in rig.bus.sent] == ["site.results.gate"]
    for passed_s, sent in ((GONE_S + 1, 2), (WANTS_S, 2)):  # it may be cut off, and get it later
        rig.clock.pass_(passed_s)
        rig.exchange.neighbours.present()
        rig.exchange.publish("gate", {"camera": "gate"})
        assert len(rig.bus.sent) == sent


def test_a_device_that_has_gone_is_remembered_for_a_day() -> None:
    rig = Rig()
    neighbours = rig.exchange.neighbours
    rig.exchange.receive(SUBJECTS.presence, presence_message(url="http://10.0.0.2:8080/"))
    assert neighbours.gone() == []
    rig.clock.pass_(GONE_S + 1)
    assert (neighbours.present(), neighbours.gone()) == ({}, [Gone("box2", GONE_S + 1, "http://10.0.0.2:8080/")])
    rig.exchange.receive(SUBJECTS.presence, presence_message())
    assert neighbours.gone() == []
    rig.clock.pass_(86_401)
    assert neighbours.gone() == []


def test_results_of_other_devices_reach_the_viewers() -> None:
    rig = Rig()
    rig.exchange.receive("site.results.gate", rig.result())
    assert rig.viewers.got == [("gate", {"camera": "gate", "detections": []})]


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        ("site.results.yard", SharedResult("box2", 1.0, "gate", {})),  # under the subject of another camera
        ("site.results.gate", SharedResult("box1", 1.0, "gate", {})),  # in this device's name
        ("site.results.gate", {"device": "box2"}),
        ("site.presence", {"device": "box2"}),
        ("site.presence", {"device": "a b", "version": "1", "state": "ok", "headroom": 1.0, "capacity": 1.0}),
        ("site.presence", {"device": "box2", "version": "1", "state": "ok", "headroom": 2.0, "capacity": 1.0}),
        (
            "site.presence",
            {"device": "box2", "version": "1", "state": "ok", "headroom": 1.0, "capacity": 1.0, "url": "js:"},
        ),
        ("site.presence", {"device": "box1", "version": "1", "state": "ok", "headroom": 1.0, "capacity": 1.0}),
    ],
)
def test_what_is_invalid_is_counted_and_changes_nothing(subject: str, message: object) -> None:
    rig = Rig()
    rig.exchange.receive(subject, msgspec.json.encode(message))
    assert (rig.exchange.invalid, rig.viewers.got, rig.exchange.neighbours.present()) == (1, [], {})


@pytest.mark.parametrize("nothing", [b"[" * 100_000, b"[" + b"[]," * (MOST_BYTES // 3) + b"0]"], ids=["deep", "long"])
@pytest.mark.parametrize("subject", ["site.results.gate", "site.presence"])
def test_what_is_nested_too_deeply_or_too_long_is_counted_and_changes_nothing(subject: str, nothing: bytes) -> None:
    """Of a megabyte of empty lists, decoding takes the event loop half a second."""
    rig = Rig()
    message = rig.result() if subject == "site.results.gate" else presence_message()
    rig.exchange.receive(subject, message.replace(b"{", b'{"more":' + nothing + b",", 1))
    assert (rig.exchange.invalid, rig.viewers.got, rig.exchange.neighbours.present()) == (1, [], {})


LONGEST_NAME = "http-" + 64 * "x"


@pytest.mark.parametrize(
    ("fields", "invalid"),
    [
        ({"cameras": [LONGEST_NAME] * 500, "wants": [LONGEST_NAME] * 200}, 0),
        ({"cameras": [LONGEST_NAME] * 501}, 1),
        ({"wants": [LONGEST_NAME] * 201}, 1),
        ({"cameras": [LONGEST_NAME + "x"]}, 1),
        ({"wants": [LONGEST_NAME + "x"]}, 1),
    ],
)
def test_a_device_says_no_more_than_it_can_have(fields: dict[str, Any], invalid: int) -> None:
    """Each is kept for a day, and one that lies can have many names."""
    rig = Rig()
    rig.exchange.receive(SUBJECTS.presence, presence_message(**fields))
    assert (rig.exchange.invalid, len(rig.exchange.neighbours.present())) == (invalid, 1 - invalid)


@given(st.binary(max_size=200), st.sampled_from(["site.results.gate", "site.presence"]))
def test_any_bytes_are_survived(message: bytes, subject: str) -> None:
    rig = Rig()
    rig.exchange.receive(subject, message)
    assert rig.viewers.got == []


def test_what_is_no_unicode_or_too_long_is_dropped_and_counted_and_what_follows_is_sent() -> None:
    rig = Rig()
    rig.exchange.receive(SUBJECTS.presence, presence_message(wants=("gate",)))
    rig.findings.append({"code": "no_unicode", "severity": "info", "what": "\udcff"})
    rig.exchange.say(frozenset())
    for frame_id in ("\ud800", "x" * MOST_BYTES, 1):
        rig.exchange.publish("gate", {"frame_id": frame_id})
    assert rig.exchange.invalid == 3
    assert [subject for subject, _ in rig.bus.sent] == ["site.presence", "site.results.gate"]


def test_what_was_sent_lately_is_sent_again_after_the_bus_was_away_and_newer_results_wait_behind_it() -> None:
    rig = Rig()
    rig.exchange.receive(SUBJECTS.presence, presence_message(wants=("gate",)))
    for number in range(3):
        rig.clock.pass_(KEEP_S / 2 + 1)
        rig.exchange.publish("gate", {"frame_id": number})
    first, lost = rig.bus.sent[0], rig.bus.sent[1:]
    rig.bus.sent.clear()
    rig.exchange.joined()
    rig.exchange.publish("gate", {"frame_id": 3})
    assert rig.bus.sent == []
    rig.exchange.send_again()
    assert rig.bus.sent[:2] == lost
    assert len(rig.bus.sent) == 3
    assert first not in rig.bus.sent  # too old
    rig.exchange.publish("gate", {"frame_id": 4})
    assert len(rig.bus.sent) == 4  # at once


def test_a_device_that_has_joined_says_so_once_and_the_others_send_again() -> None:
    rig = Rig()
    rig.exchange.receive(SUBJECTS.presence, presence_message(wants=("gate",)))
    rig.exchange.publish("gate", {"frame_id": 1})
    rig.exchange.receive(SUBJECTS.presence, presence_message(wants=("gate",), joined=True))
    rig.exchange.send_again()
    subjects = [subject for subject, _ in rig.bus.sent]
    assert subjects == ["site.results.gate", "site.results.gate"]
    rig.bus.sent.clear()
    rig.exchange.joined()
    for joined in (True, False):
        rig.bus.sent.clear()
        rig.exchange.say(frozenset())
        (said,) = [message for subject, message in rig.bus.sent if subject == SUBJECTS.presence]
        assert msgspec.json.decode(said, type=Presence).joined is joined


def test_a_device_that_joins_without_end_keeps_no_new_results_back() -> None:
    rig = Rig()
    rig.exchange.receive(SUBJECTS.presence, presence_message(wants=("gate",)))
    for number in range(200):
        rig.clock.pass_(0.05)
        rig.exchange.publish("gate", {"frame_id": number})
        rig.exchange.receive(SUBJECTS.presence, presence_message(wants=("gate",), joined=True))
        rig.exchange.send_again()
    sent = [msgspec.json.decode(message, type=SharedResult).payload["frame_id"] for _, message in rig.bus.sent]
    first = sorted(set(sent), key=sent.index)
    assert first == list(range(len(first)))
    assert len(first) > 100


def test_findings_are_published_when_they_change_and_once_a_minute() -> None:
    rig = Rig()

    def published() -> list[list[str]]:
        rig.bus.sent.clear()
        rig.exchange.say(frozenset())
        sent = [msgspec.json.decode(message) for subject, message in rig.bus.sent if subject == "site.findings.box1"]
        assert all(one["device"] == "box1" for one in sent)
        return [[finding["code"] for finding in one["findings"]] for one in sent]

    assert published() == [[]]
    assert published() == []
    rig.findings.append({"code": "too_hot", "severity": "degraded", "for_s": 1})
    assert published() == [["too_hot"]]
    rig.findings[0]["for_s"] = 2
    assert published() == []
    rig.clock.pass_(61)
    assert published() == [["too_hot"]]
    rig.findings.clear()
    rig.bus.problem = "away"
    published()
    rig.bus.problem = None
    assert published() == [[]]  # nobody has heard it before


def test_a_result_that_comes_twice_is_delivered_once() -> None:
    rig = Rig()
    message = rig.result()
    for _ in range(2):
        rig.exchange.receive("site.results.gate", message)
    rig.clock.pass_(1)
    rig.exchange.receive("site.results.gate", rig.result())
    assert (len(rig.viewers.got), rig.exchange.repeated) == (2, 1)


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 40), st.integers(0, 6)), max_size=60))
def test_no_result_is_lost_or_overtaken_while_results_are_sent_again(steps: list[tuple[float, int, int]]) -> None:
    """However joins, new results and turns mix: each one goes out, and new ones in their order."""
    sent, out, now, number = SentLately(1000.0), list[int](), 0.0, 0
    for wait_s, new, turns in steps:
        now += wait_s
        for _ in range(new):
            number += 1
            if sent.keep(("s", str(number).encode()), now):
                out.append(number)
        if turns == 6:
            sent.send_again(now)
        for _ in range(turns):
            out += [int(message) for _, message in sent.take(16)]
    while sent:
        out += [int(message) for _, message in sent.take(16)]
    oldest = max(1, number - 999)
    assert [one for one in dict.fromkeys(out) if one >= oldest] == list(range(oldest, number + 1))


def test_the_line_of_results_sent_again_ends_although_more_come_than_it_sends() -> None:
    sent = SentLately(1000.0)
    for number in range(20):
        sent.keep(("s", str(number).encode()), 0.0)
    sent.send_again(0.0)
    for _ in range(6):
        for number in range(10):
            sent.keep(("s", str(number).encode()), 0.0)
        sent.take(4)
    assert not sent


def test_a_late_result_is_dropped_although_the_clocks_differ() -> None:
    rig = Rig()
    rig.exchange.receive("site.results.gate", rig.result(at_s=rig.clock() - 5000))
    rig.exchange.receive("site.results.gate", rig.result(at_s=rig.clock() - 5020))  # 20 s later than the one before
    assert (len(rig.viewers.got), rig.exchange.late) == (1, 1)


def published(sender: Rig, count: int) -> list[bytes]:
    """Results that a device publishes, one a second."""
    sender.exchange.receive(SUBJECTS.presence, presence_message(wants=("gate",)))
    sender.bus.sent.clear()
    for number in range(count):
        sender.exchange.publish("gate", {"frame_id": number})
        sender.clock.pass_(1)
        sender.wall_clock.pass_(1)
    return [message for _, message in sender.bus.sent]


def delivered(receiver: Rig, messages: list[bytes]) -> int:
    """How many of these reach its viewers if one comes each second."""
    before = len(receiver.viewers.got)
    for message in messages:
        receiver.exchange.receive("site.results.gate", message)
        receiver.clock.pass_(1)
    return len(receiver.viewers.got) - before


@pytest.mark.parametrize("set_s", [-3600.0, -60.0, 60.0, 86400.0])
def test_no_result_is_dropped_because_the_clock_of_its_device_was_set(set_s: float) -> None:
    sender, receiver = Rig(), Rig("box2")
    assert delivered(receiver, published(sender, 5)) == 5
    sender.wall_clock.pass_(set_s)
    assert delivered(receiver, published(sender, 5)) == 5
    assert receiver.exchange.late == 0


def test_no_result_is_dropped_because_its_device_has_started_again() -> None:
    sender, receiver = Rig(), Rig("box2")
    sender.clock.pass_(1_000_000)
    assert delivered(receiver, published(sender, 5)) == 5
    again = Rig()  # its monotonic clock begins again, and is far behind
    assert delivered(receiver, published(again, 5)) == 5


def test_a_device_with_the_release_before_understands_results_and_is_understood() -> None:
    class FormerResult(msgspec.Struct, frozen=True):
        device: str
        at_s: float
        camera: str
        payload: dict[str, Any]

    sender, receiver = Rig(), Rig("box2")
    sent = [msgspec.json.decode(message, type=FormerResult) for message in published(sender, 3)]
    assert [(one.device, one.at_s) for one in sent] == [("box1", 1.8e9 + second) for second in range(3)]
    assert delivered(receiver, [msgspec.json.encode(one) for one in sent]) == 3


def test_a_device_with_the_release_before_whose_clock_was_set_back_is_heard_again_within_half_a_minute() -> None:
    rig = Rig()
    for second in range(100):
        set_back_s = 3600 if second >= 10 else 0
        rig.exchange.receive("site.results.gate", rig.result(at_s=rig.clock() - set_back_s))
        rig.clock.pass_(1)
    assert (len(rig.viewers.got), rig.exchange.late) == (70, 30)


def test_a_device_that_says_nothing_is_gone() -> None:
    rig = Rig()
    rig.exchange.receive(SUBJECTS.presence, presence_message(moving=7, headroom=0.5))
    (other,) = rig.exchange.neighbours.for_moves().values()
    assert (other.cameras, other.headroom) == (7, 0.5)
    rig.exchange.receive(SUBJECTS.presence, presence_message(drained=True))
    assert rig.exchange.neighbours.for_moves()["box2"].headroom == 0
    rig.clock.pass_(GONE_S + 0.1)
    assert rig.exchange.neighbours.for_moves() == {}


@given(st.text(min_size=1, max_size=64).filter(lambda name: name.isprintable()))
def test_each_camera_has_a_subject_of_its_own_without_wildcards(name: str) -> None:
    subject = SUBJECTS.results_of(name)
    assert subject.count(".") == 2
    assert not set(subject) & set("*> \t")


def test_many_subscriptions_ask_for_all_cameras() -> None:
    assert wanted_of(frozenset({"b", "a"})) == ("a", "b")
    assert wanted_of(frozenset({"*", "a"})) == ("*",)
    assert wanted_of(frozenset(map(str, range(500)))) == ("*",)
