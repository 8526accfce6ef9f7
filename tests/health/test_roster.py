"""Cameras that were seen stay known, across restarts and clock changes, and only missing ones are reported."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.device.state import StateFolder
from appliance.errors import CameraError
from appliance.health import roster_file
from appliance.health.roster import MOST, Roster, RosterEntry, Sighting
from appliance.health.roster_file import RosterKeeper
from tests.fakes import FakeClock

WALL_S = 1_800_000_000.0
DAY_S = 86_400.0


@dataclass(slots=True)
class Site:
    """A roster under clocks of its own."""

    entries: dict[str, RosterEntry] = field(default_factory=dict)
    configured: tuple[str, ...] = ()
    now_s: float = 1000.0
    wall_s: float = WALL_S
    roster: Roster = field(init=False)

    def __post_init__(self) -> None:
        self.roster = Roster(self.entries, now_s=self.now_s, forget_after_s=30 * DAY_S)

    def run(self, seconds: int, *sending: str) -> None:
        """These cameras send once a second, the others are silent."""
        for _ in range(seconds):
            self.pass_(1.0, *sending)

    def pass_(self, seconds: float, *sending: str) -> None:
        self.now_s += seconds
        self.wall_s += seconds
        seen = [Sighting(name, self.now_s, True) for name in sending]
        self.roster.note(seen, self.configured, self.now_s, self.wall_s)

    @property
    def silent(self) -> list[str]:
        return sorted(self.roster.absence.silent_s)


def test_a_camera_that_sent_regularly_and_stopped_is_silent_until_it_returns() -> None:
    site = Site()
    site.run(130, "gate", "yard")
    site.run(119, "yard")
    assert site.silent == []
    site.run(1, "yard")
    assert site.silent == ["gate"]
    assert not site.roster.absence.all_gone
    site.run(1, "gate", "yard")
    assert site.silent == []


def test_all_cameras_gone_is_a_state_of_its_own() -> None:
    site = Site()
    site.run(130, "gate", "yard")
    site.run(120)
    assert site.roster.absence.all_gone
    site.run(1, "visitor")  # an unknown camera sends: not all is lost
    assert not site.roster.absence.all_gone


def test_a_camera_that_sent_a_few_frames_is_known_but_not_expected() -> None:
    site = Site()
    site.run(3, "laptop")
    site.run(1000)
    assert (site.silent, site.roster.absence.all_gone) == ([], False)
    assert site.roster.report(site.now_s, site.wall_s)["laptop"].presence == "quiet"


def test_a_configured_camera_is_expected_from_the_start_but_is_not_gone_before_it_came() -> None:
    site = Site(configured=("gate",))
    site.run(119)
    assert site.silent == []
    site.run(1)
    assert (site.silent, site.roster.absence.all_gone) == (["gate"], False)
    assert site.roster.report(site.now_s, site.wall_s)["gate"].last_at_s is None


def test_the_date_of_the_last_frame_follows_the_clock_that_is_set() -> None:
    site = Site(wall_s=100.0)  # 1970: a board without a battery
    site.run(130, "gate")
    site.wall_s += WALL_S
    site.run(10)
    assert site.roster.report(site.now_s, site.wall_s)["gate"].last_at_s == pytest.approx(site.wall_s - 10)
    assert site.roster.entries(site.now_s, site.wall_s)["gate"].last_at_s == pytest.approx(site.wall_s - 10)


def test_after_a_restart_cameras_have_time_to_come_back() -> None:
    before = Site()
    before.run(1000, "gate")
    after = Site(before.roster.entries(before.now_s, before.wall_s), now_s=5.0, wall_s=before.wall_s + 600)
    after.run(119)
    assert after.silent == []
    known = after.roster.report(after.now_s, after.wall_s)["gate"]
    assert known.silent_s == pytest.approx(600 + 119)
    after.run(1)
    assert after.silent == ["gate"]
    after.run(1, "gate")
    assert after.silent == []
    assert after.roster.entries(after.now_s, after.wall_s)["gate"].rhythm.silent_after_s == 120


def test_a_camera_is_forgotten_after_the_time_of_the_setting() -> None:
    site = Site()
    site.run(130, "gate", "yard")
    site.pass_(29.9 * DAY_S, "yard")
    assert "gate" in site.roster
    site.pass_(0.2 * DAY_S, "yard")
    assert "gate" not in site.roster
    assert "yard" in site.roster


def test_a_wrong_clock_after_a_start_forgets_no_camera() -> None:
    entries = {"gate": RosterEntry(WALL_S, WALL_S), "yard": RosterEntry(50.0, 90.0)}  # saved before the clock was set
    site = Site(entries, wall_s=WALL_S + 900 * DAY_S)
    site.run(10)
    site.wall_s = WALL_S + 60
    site.pass_(4000)
    assert sorted(site.roster.report(site.now_s, site.wall_s)) == ["gate", "yard"]


def test_the_roster_is_bounded_and_drops_the_camera_that_was_silent_for_the_longest() -> None:
    site = Site()
    for number in range(MOST + 5):
        site.pass_(1.0, f"camera-{number}")
    known = site.roster.report(site.now_s, site.wall_s)
    assert len(known) == MOST
    assert "camera-4" not in known
    assert "camera-5" in known


def test_a_person_removes_only_a_camera_that_is_known_and_silent() -> None:
    site = Site(configured=("yard",))
    site.run(130, "gate", "yard")
    for name, code in (("gaet", "camera_unknown"), ("gate", "camera_sending"), ("yard", "camera_configured")):
        with pytest.raises(CameraError) as refused:
            site.roster.remove(name)
        assert refused.value.code == code
    site.run(10, "yard")
    site.roster.remove("gate")
    assert list(site.roster.report(site.now_s, site.wall_s)) == ["yard"]


async def test_the_file_brings_back_what_was_known(tmp_path: Path) -> None:
    site = Site()
    site.run(130, "Portão principal", "http-10.0.0.5")
    folder = StateFolder(tmp_path)
    keeper = RosterKeeper(site.roster, folder, clock=lambda: site.now_s, wall_clock=lambda: site.wall_s)
    with ThreadPoolExecutor(1) as disk:
        await keeper.save(disk)
    restored = roster_file.load(folder)
    assert restored == site.roster.entries(site.now_s, site.wall_s)
    assert (tmp_path / "cameras.json").stat().st_size < 1000


async def test_the_file_is_written_soon_after_a_camera_came_and_otherwise_seldom(tmp_path: Path) -> None:
    """Sleeps end at once here: the keeper's own ticks are counted."""
    site, written = Site(), list[int]()

    class Counting(RosterKeeper):
        async def save(self, disk: ThreadPoolExecutor) -> None:
            written.append(self._ticks)
            self._saved_changes, self._ticks = site.roster.changes, 0

    keeper = Counting(site.roster, StateFolder(tmp_path), clock=FakeClock(), wall_clock=FakeClock())
    task = asyncio.create_task(keeper.run())
    while len(written) < 3:
        await asyncio.sleep(1)
    site.run(1, "gate")
    while len(written) < 4:
        await asyncio.sleep(1)
    task.cancel()  # the service stops: once more
    await asyncio.wait({task})
    assert written[:3] == [10, 10, 10]
    assert written[3] <= 10
    assert len(written) in (5, 6)


async def test_a_file_that_cannot_be_written_is_logged_and_does_no_harm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()
    keeper = RosterKeeper(site.roster, StateFolder(tmp_path / "gone"), clock=FakeClock(), wall_clock=FakeClock())
    with ThreadPoolExecutor(1) as disk:
        await keeper.save(disk)
    assert "cannot save the known cameras" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", b"[]", b'{"cameras": {"gate": {}}}', b"\xff",
        b'{"cameras": {"a\\nb": {"first_at_s": 1, "last_at_s": 1}}}',
        b'{"cameras": {"a": {"first_at_s": 1, "last_at_s": 1, "rhythm": {"spent_s": [1]}}}}',
    ],
)  # fmt: skip
def test_a_damaged_file_is_renamed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cameras.json").write_bytes(content)
    assert roster_file.load(StateFolder(tmp_path)) == {}
    assert (tmp_path / "cameras.json.corrupt-1").read_bytes() == content


def test_without_a_folder_nothing_is_known() -> None:
    assert roster_file.load(None) == roster_file.load(StateFolder(None)) == {}
