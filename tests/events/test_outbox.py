"""Events for a slow receiver: bounded, the newest kept, one start and one end of each object."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.events.object_event import EventKind
from appliance.events.outbox import EventOutbox
from tests.events.sights import event


def taken(outbox: EventOutbox) -> list[tuple[str, EventKind]]:
    events: list[tuple[str, EventKind]] = []
    while (one := outbox.take()) is not None:
        events.append((one.object_id, one.kind))
    return events


def test_events_are_taken_in_order() -> None:
    outbox = EventOutbox(10)
    kinds: tuple[EventKind, ...] = ("start", "update", "end")
    for kind in kinds:
        outbox.put(event("a", kind))
    assert taken(outbox) == [("a", "start"), ("a", "end")]  # the end says all that the update said


def test_only_the_latest_update_waits_and_says_what_earlier_ones_said() -> None:
    outbox = EventOutbox(10)
    outbox.put(event("a", "start"))
    outbox.take()
    outbox.put(event("a", "update", 2, entered=("yard",)))
    outbox.put(event("a", "update", 3, entered=("door",)))
    one = outbox.take()
    assert one is not None
    assert (one.number, one.entered) == (3, ("yard", "door"))


def test_past_the_limit_the_oldest_unheard_object_is_dropped_with_its_end() -> None:
    outbox = EventOutbox(4)
    for name in "abc":
        outbox.put(event(name, "start"))
        outbox.put(event(name, "end"))
    assert taken(outbox) == [("b", "start"), ("b", "end"), ("c", "start"), ("c", "end")]
    assert outbox.dropped == 2


def test_an_end_that_is_owed_outlives_new_starts() -> None:
    outbox = EventOutbox(2)
    outbox.put(event("a", "start"))
    assert outbox.take() is not None
    outbox.put(event("a", "end"))
    for number in range(50):
        outbox.put(event(f"n{number}", "start"))
    assert taken(outbox) == [("a", "end"), ("n49", "start")]


def test_an_object_gets_its_end_after_updates_that_were_taken() -> None:
    outbox, kinds = EventOutbox(10), list[tuple[str, EventKind]]()
    events: tuple[EventKind, ...] = ("start", "update", "update", "end")
    for number, kind in enumerate(events):
        outbox.put(event("a", kind, number))
        kinds += taken(outbox)
    assert [kind for _, kind in kinds] == list(events)


def test_an_object_that_stays_gets_its_end_however_many_others_come_and_go() -> None:
    outbox = EventOutbox(10)
    outbox.put(event("stays", "start"))
    for number in range(5000):
        outbox.put(event(f"n{number}", "start"))
        outbox.put(event(f"n{number}", "end"))
        taken(outbox)
    outbox.put(event("stays", "end"))
    assert taken(outbox) == [("stays", "end")]


def test_a_start_is_not_sent_twice_and_an_end_not_without_its_start() -> None:
    outbox = EventOutbox(10)
    outbox.put(event("x", "end"))
    outbox.put(event("x", "update"))
    outbox.put(event("a", "start"))
    outbox.put(event("a", "start"))
    outbox.take()
    outbox.put(event("a", "start"))
    assert taken(outbox) == []


def test_the_end_of_an_object_heard_of_earlier_is_sent() -> None:
    outbox = EventOutbox(10)
    outbox.know(["a"])
    outbox.put(event("a", "end"))
    assert taken(outbox) == [("a", "end")]


def test_an_event_that_could_not_be_sent_is_the_next_again() -> None:
    outbox = EventOutbox(10)
    outbox.put(event("a", "start"))
    outbox.put(event("b", "start"))
    first = outbox.take()
    assert first is not None
    outbox.put_back(first)
    outbox.put(event("a", "start"))  # still known
    assert taken(outbox) == [("a", "start"), ("b", "start")]
    outbox.put(event("a", "end"))
    end = outbox.take()
    assert end is not None
    outbox.put_back(end)
    outbox.put(event("a", "end"))
    assert taken(outbox) == [("a", "end")]


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=200), st.integers(1, 6))
def test_however_slow_the_receiver_each_start_it_gets_has_at_most_one_end(
    steps: list[tuple[int, bool]], most: int
) -> None:
    outbox, got = EventOutbox(most), []
    lives: dict[int, int] = {}
    for number, (who, takes) in enumerate(steps):
        life, stage = divmod(lives.get(who, 0), 3)
        kinds: tuple[EventKind, ...] = ("start", "update", "end")
        outbox.put(event(f"{who}.{life}", kinds[stage], number))
        lives[who] = lives.get(who, 0) + 1
        assert len(outbox) <= most
        if takes and (one := outbox.take()) is not None:
            got.append((one.object_id, one.kind))
    got += taken(outbox)
    for object_id in {name for name, _ in got}:
        kinds_got = [kind for name, kind in got if name == object_id]
        assert kinds_got[0] == "start"
        assert kinds_got.count("start") == 1
        assert kinds_got.count("end") <= 1
        assert "end" not in kinds_got[:-1]
