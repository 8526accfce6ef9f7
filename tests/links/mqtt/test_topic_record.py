"""Which topics a broker may hold: across restarts, and not from one machine to another."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.device.state import open_folder
from appliance.links.mqtt.topic_record import NAME, TopicRecord
from tests.fakes import FakeClock


def record(folder: Path, machine: str = "this", clock: FakeClock | None = None) -> TopicRecord:
    with open_folder(folder) as opened:
        return TopicRecord(opened, machine, clock or FakeClock())


async def test_topics_are_known_after_a_restart_until_they_are_removed(tmp_path: Path) -> None:
    first = record(tmp_path)
    assert not first.known
    first.hold({"a", "b"})
    await first.save()
    second = record(tmp_path)
    second.hold({"b", "c"})
    assert second.known
    assert second.topics == {"a", "b", "c"}
    second.removed("a")
    await second.save()
    assert record(tmp_path).topics == {"b", "c"}


async def test_the_record_of_another_machine_is_ignored(tmp_path: Path) -> None:
    """Its disk was copied: what is published there may be in use."""
    first = record(tmp_path, machine="other")
    first.hold({"a"})
    await first.save()
    second = record(tmp_path)
    assert not second.known
    assert not second.topics


async def test_cameras_that_come_and_go_do_not_wear_the_disk(tmp_path: Path) -> None:
    clock = FakeClock()
    kept = record(tmp_path, clock=clock)
    for second in range(100):
        clock.now_s = float(second)
        kept.hold({f"camera {second}"})
        kept.removed(f"camera {second - 1}")
        await kept.save()
        assert record(tmp_path).topics == {"camera 0" if second < 60 else "camera 60"}
    await kept.save(at_once=True)
    assert record(tmp_path).topics == {"camera 99"}


def test_what_is_remembered_is_bounded() -> None:
    kept = TopicRecord(None, "this", FakeClock())
    for number in range(3000):
        kept.hold({f"camera {number}"})
    assert len(kept.topics) == 1001
    assert "camera 2999" in kept.topics


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"machine": "this", "topics": [""]}', b'{"machine": "this", "topics": ["a/#"]}']
)
def test_a_damaged_record_is_renamed(tmp_path: Path, content: bytes) -> None:
    """A topic with a wildcard cannot be published: the link would fail again and again."""
    (tmp_path / NAME).write_bytes(content)
    assert not record(tmp_path).topics
    assert (tmp_path / f"{NAME}.corrupt-1").read_bytes() == content


async def test_a_folder_that_is_gone_costs_the_record_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "state").mkdir()
    kept = record(tmp_path / "state")
    for file in (tmp_path / "state").iterdir():
        file.unlink()
    (tmp_path / "state").rmdir()
    kept.hold({"a"})
    await kept.save()
    assert kept.topics == {"a"}
    assert "cannot save the topics at the broker" in caplog.text
