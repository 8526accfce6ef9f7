"""Who may ask for an update, with what, and when."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from appliance.commands import updates
from appliance.health.facts import Cause
from appliance.service.update_news import UNIT, UpdateNews
from appliance.settings.schema import Settings
from appliance.settings.schema.update import UpdateSettings
from appliance.update import last_check, unpack
from appliance.update.last_check import LastCheck
from appliance.update.observing import Observer, commented, critical_codes, gateway_answers, latest, sending, usual
from appliance.update.offer import Offer
from appliance.update.places import UpdateError, UpdatePlaces
from appliance.values import Size
from appliance.vision import scene
from appliance.vision.decode import encode_jpeg
from tests.boot.ready_service import ready_service
from tests.update.device import Device
from tests.update.night import Night
from tests.update.operator import PLATFORM, Operator

_OFFER = Offer(name="2.0-abc", version="2.0", number=2, signed_s=1_000_000)


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Device, Settings, str]:
    """A device that updates itself from a folder with a release."""
    operator = Operator(tmp_path / "repository", datetime.datetime.now(datetime.timezone.utc))
    offer = operator.release("2.0", 2)
    monkeypatch.setattr(updates, "here", lambda: PLATFORM)
    update = UpdateSettings(source=str(operator.folder), automatic=True, window="02:35-02:50")
    return Device(tmp_path / "device", operator), Settings(update=update), offer.name


def test_a_release_found_before_the_window_waits_for_the_next_check(offered: tuple[Device, Settings, str]) -> None:
    device, settings, _ = offered
    night = Night("01:00")
    assert updates.fetch_by_itself(settings, device.places, print, night.now, night.sleep) is None
    assert not (device.places.work / updates.REQUEST).exists()
    assert not device.places.staging.exists()


def test_a_release_whose_download_outlasts_the_window_is_installed_in_the_next_one(
    offered: tuple[Device, Settings, str],
) -> None:
    """A slow link takes hours; nobody expects the service to restart at noon, nor the same download each night."""
    device, settings, name = offered
    night, said = Night("02:40"), list[str]()

    def slowly(text: str) -> None:
        said.append(text)
        night.sleep(3600)

    asked = device.places.work / updates.REQUEST
    assert updates.fetch_by_itself(settings, device.places, slowly, night.now, night.sleep) is None
    assert not asked.exists()
    settings_away = msgspec.structs.replace(
        settings, update=msgspec.structs.replace(settings.update, source=str(device.places.root / "etc"))
    )
    with pytest.raises(UpdateError):  # the network is away for an hour
        updates.fetch_by_itself(settings_away, device.places, slowly, night.now, night.sleep)
    fetched = len([line for line in said if line.startswith("fetching")])
    night = Night("02:40")
    installed = updates.fetch_by_itself(settings, device.places, slowly, night.now, night.sleep)
    assert (installed.name if installed else None) == name
    assert asked.read_text() == f"{name}\n"
    assert len([line for line in said if line.startswith("fetching")]) == fetched == 1


@pytest.mark.parametrize(("postpone_days", "installed"), [(0, True), (1, False)])
def test_a_release_published_during_the_wait_for_a_window_keeps_the_rules_of_its_own(
    postpone_days: int, installed: bool, tmp_path: Path, offered: tuple[Device, Settings, str]
) -> None:
    """What is staged is the newest release by then: root would refuse the name of the one before."""
    today = datetime.datetime.now(datetime.timezone.utc)
    operator = Operator(tmp_path / "other", today - datetime.timedelta(days=2))
    operator.release("2.0", 2)
    device, night = Device(tmp_path / "other-device", operator), Night("02:30")
    update = msgspec.structs.replace(offered[1].update, source=str(operator.folder), postpone_days=postpone_days)

    def publish(seconds: float) -> None:
        if operator.signed_at != today:
            operator.signed_at = today
            operator.release("3.0", 3)
        night.sleep(seconds)

    found = updates.fetch_by_itself(Settings(update=update), device.places, print, night.now, publish)
    asked = device.places.work / updates.REQUEST
    assert asked.exists() is installed
    if installed:
        assert found is not None
        assert (found.version, asked.read_text()) == ("3.0", f"{found.name}\n")


def test_what_root_has_refused_is_fetched_again(offered: tuple[Device, Settings, str]) -> None:
    device, settings, name = offered
    said: list[str] = []
    device.places.last_install.parent.mkdir(parents=True)
    for refused in (False, True):
        if refused:
            last_check.write(device.places.last_install, LastCheck(problem="expired", code="update_expired"))
        night = Night("02:40")
        installed = updates.fetch_by_itself(settings, device.places, said.append, night.now, night.sleep)
        assert (installed.name if installed else None) == name
    assert len([line for line in said if line.startswith("fetching")]) == 2


@pytest.mark.parametrize("text", ["", "../../etc", "a b", "x" * 100, "-rf", "2.0-abc\nsecond"])
def test_root_reads_nothing_but_a_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "request"
    path.write_text(text)
    with pytest.raises(UpdateError):
        unpack.read_name(path)


def test_root_follows_no_link_to_a_name(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("2.0-abc\n")
    (tmp_path / "request").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UpdateError):
        unpack.read_name(tmp_path / "request")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UpdateError):
        unpack.read_name(tmp_path / "pipe")


def test_a_folder_that_is_no_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(UpdateError, match="is not a repository"):
        updates.wanted(Settings(), str(tmp_path), by_person=True)
    with pytest.raises(UpdateError, match=r"set update\.source"):
        updates.wanted(Settings(), "", by_person=True)


async def _news(root: Path, source: str = "https://updates.example") -> UpdateNews:
    news = UpdateNews(
        UpdateSettings(source=source), root / "state", lambda: 1_000_000 + 61 * 86_400.0, UpdatePlaces(root)
    )
    news._found = news._read()
    return news


async def test_the_service_reports_what_the_updater_left(tmp_path: Path) -> None:
    places = UpdatePlaces(tmp_path)
    places.work.mkdir(parents=True)
    places.state.parent.mkdir(parents=True)
    last_check.write(places.last_check, LastCheck(checked_s=1.0, offer=_OFFER, for_this_device=True))
    places.state.write_text("phase=idle\ncommitted=1.0-aaa\nundone=1.5-bbb\nwhy=it sees nothing\n")
    notices = (await _news(tmp_path)).notices()
    assert (notices.available, notices.undone, notices.why) == ("2.0", "1.5-bbb", "it sees nothing")
    assert notices.newest_age_days == pytest.approx(61)
    assert notices.no_root
    quiet = (await _news(tmp_path, source="")).notices()
    assert (quiet.newest_age_days, quiet.no_root) == (None, False)


@pytest.mark.parametrize(
    ("code", "offer", "source", "reported"),
    [
        ("update_unreachable", None, "https://updates.example", True),
        ("update_unreachable", _OFFER, "https://updates.example", False),  # it is stale after two months
        ("update_unreachable", None, "", False),
        ("update_refused", None, "https://updates.example", False),  # a finding of its own
    ],
)
async def test_a_source_that_was_never_reached_is_reported(
    tmp_path: Path, code: str, offer: Offer | None, source: str, reported: bool
) -> None:
    """As behind a proxy, or with a mistake in the address: nothing else would ever say so."""
    places = UpdatePlaces(tmp_path)
    places.work.mkdir(parents=True)
    last_check.write(places.last_check, LastCheck(checked_s=1.0, offer=offer, problem="no route", code=code))
    assert (await _news(tmp_path, source)).notices().never_reached == ("no route" if reported else "")


def test_programs_read_which_release_is_in_use_on_trial_and_offered(tmp_path: Path) -> None:
    places = UpdatePlaces(tmp_path)
    assert set(updates.status_report(places).values()) == {""}
    places.work.mkdir(parents=True)
    places.state.parent.mkdir(parents=True)
    last_check.write(places.last_check, LastCheck(checked_s=1.0, offer=_OFFER))
    places.state.write_text("phase=idle\ncommitted=1.0-aaa\ntrying=2.0-abc\nundone=2.0-abc\nwhy=it crashed\n")
    undone = updates.status_report(places)
    assert [undone[name] for name in ("in_use", "on_trial", "offered")] == ["1.0-aaa", "", "2.0-abc"]
    assert (undone["undone"], undone["why"]) == ("2.0-abc", "it crashed")
    places.state.write_text("phase=trying\ncommitted=1.0-aaa\ntrying=2.0-abc\n")
    trial = updates.status_report(places)
    assert (trial["in_use"], trial["on_trial"]) == ("2.0-abc", "2.0-abc")


@pytest.mark.parametrize(
    ("code", "source", "ago_s", "shown"),
    [
        ("update_refused", "https://updates.example", 90_000.0, True),
        ("update_space", "", 80_000.0, True),
        ("update_refused", "", 90_000.0, False),
        ("update_expired", "", -500_000_000.0, False),  # by a clock that was years ahead
        ("update_unreachable", "https://updates.example", 60.0, False),
    ],
)
async def test_a_refused_update_is_reported(tmp_path: Path, code: str, source: str, ago_s: float, shown: bool) -> None:
    news = await _news(tmp_path, source)
    places = UpdatePlaces(tmp_path)
    places.work.mkdir(parents=True)
    checked_s = news._wall_clock() - ago_s
    last_check.write(places.last_check, LastCheck(checked_s=checked_s, problem="it is damaged", code=code))
    news._found = news._read()
    assert news.notices().refused == (Cause(code, "it is damaged") if shown else None)


async def test_what_root_could_not_install_is_reported_until_the_next_attempt(tmp_path: Path) -> None:
    news = await _news(tmp_path)
    places = UpdatePlaces(tmp_path)
    places.last_install.parent.mkdir(parents=True)
    problem = LastCheck(checked_s=1.0, problem="2.0-bbb cannot be installed: no space", code="update_failed")
    last_check.write(places.last_install, problem)
    news._found = news._read()
    assert news.notices().refused == Cause(problem.code, problem.problem)
    assert f"problem:   {problem.problem}" in updates.status(places)
    places.work.mkdir(parents=True)
    (places.work / updates.REQUEST).write_text("2.0-ccc\n")  # and nothing is staged
    with pytest.raises(UpdateError, match="cannot be installed"):
        updates.install_requested(places)
    assert "2.0-ccc cannot be installed: No such file" in last_check.read(places.last_install).problem


def test_a_failed_installation_names_the_reason_and_the_release_in_use(tmp_path: Path) -> None:
    places = UpdatePlaces(tmp_path)
    places.state.parent.mkdir(parents=True)
    places.state.write_text("phase=idle\ncommitted=1.0-aaa\n")
    killed = updates.why_not_on_trial(places, "2.0-bbb")
    assert killed.startswith("2.0-bbb was not installed: see the lines above. In use is 1.0-aaa.")
    last_check.write(places.last_install, LastCheck(checked_s=1.0, problem="systemctl restart: no answer"))
    places.state.write_text("phase=idle\ncommitted=1.0-aaa\nundone=2.0-bbb\nwhy=it could not be started\n")
    undone = updates.why_not_on_trial(places, "2.0-bbb")
    assert "systemctl restart: no answer. In use is 1.0-aaa." in undone
    places.state.write_text("phase=trying\ncommitted=1.0-aaa\ntrying=2.0-bbb\n")
    assert "2.0-bbb is on trial" in updates.why_not_on_trial(places, "2.0-bbb")


async def test_only_an_installed_service_can_ask_for_an_update(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    news = await _news(tmp_path)
    assert news.view() is None
    with pytest.raises(UpdateError):
        news.request()
    (tmp_path / UNIT).parent.mkdir(parents=True)
    (tmp_path / UNIT).touch()
    news.request()
    assert (tmp_path / "state/update-requested").read_text() == "install\n"
    view = news.view()
    assert view is not None
    assert view.latest == view.installed


def test_what_is_seen_of_a_device_is_what_its_report_says(tmp_path: Path) -> None:
    report = {
        "findings": [{"code": "a", "severity": "critical"}, {"code": "b", "severity": "info"}],
        "known_cameras": {"gate": {"presence": "sending"}, "yard": {"presence": "silent"}},
    }
    assert critical_codes(report) == {"a"}
    assert sending(report) == 1
    assert (critical_codes({}), sending({})) == (frozenset(), 0)


def test_a_commented_picture_is_the_same_picture_in_other_bytes() -> None:
    pixels, _ = scene.draw(Size(64, 48))
    jpeg = encode_jpeg(pixels, 90)
    first, second = commented(jpeg, b"1"), commented(jpeg, b"2")
    assert first != second
    decoded, with_comment = (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in (jpeg, first))
    assert decoded is not None
    assert with_comment is not None
    assert np.array_equal(decoded, with_comment)


def test_an_hour_is_its_median_and_its_last_value() -> None:
    column = [None, 3, 5.0, 4, None, 9, 4, 1000, None]
    assert (usual(column), latest(column)) == (4.5, None)
    assert latest(column[:-1]) == 1000
    assert usual([1.0] * 5) is None  # less than a minute
    assert (usual(None), latest(None), latest([])) == (None, None, None)


def _network(root: Path, routes: str, neighbours: str) -> None:
    net = root / "proc/net"
    net.mkdir(parents=True, exist_ok=True)
    heads = ("Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n",
             "IP address       HW type     Flags       HW address            Mask     Device\n")  # fmt: skip
    (net / "route").write_text(heads[0] + routes)
    (net / "arp").write_text(heads[1] + neighbours)


_ETHERNET = "eth0 00000000 0101A8C0 0003 0 0 100 00000000 0 0 0\n"
_ETHERNET_ANSWERS = "192.168.1.1 0x1 0x2 aa:bb * eth0\n"
_WIFI = "wlan0 00000000 0102A8C0 0003 0 0 600 00000000 0 0 0\n"
_VPN = "tun0 00000000 0100080A 0003 0 0 0 00000080 0 0 0\n"
_LINK = "wlan0 00000000 00000000 0001 0 0 50 00000000 0 0 0\n"


@pytest.mark.parametrize(("flags", "answers"), [("0x2", True), ("0x0", False)])
def test_the_gateway_answers_if_its_address_is_known(tmp_path: Path, flags: str, answers: bool) -> None:
    assert gateway_answers(tmp_path) is None
    _network(tmp_path, "eth0 0001A8C0 00000000 0001 0 0 100 00FFFFFF 0 0 0\n", _ETHERNET_ANSWERS)
    assert gateway_answers(tmp_path) is None
    _network(tmp_path, _ETHERNET, _ETHERNET_ANSWERS.replace("0x2", flags))
    assert gateway_answers(tmp_path) is answers


@pytest.mark.parametrize("routes", [_ETHERNET + _WIFI, _WIFI + _ETHERNET, _ETHERNET + _VPN, _LINK + _ETHERNET])
def test_of_several_routes_the_gateway_in_use_counts(tmp_path: Path, routes: str) -> None:
    """A Wi-Fi that is lost during a trial, and that nobody uses, undoes no release."""
    _network(tmp_path, routes, _ETHERNET_ANSWERS + "192.168.2.1 0x1 0x0 00:00 * wlan0\n")
    assert gateway_answers(tmp_path)
    _network(tmp_path, routes, "192.168.1.1 0x1 0x2 aa:bb * wlan0\n192.168.2.1 0x1 0x2 cc:dd * wlan0\n")
    assert gateway_answers(tmp_path) is False


def test_a_service_that_comes_back_on_another_port_is_observed_there() -> None:
    """Its socket may be edited, and it is not running when the watch over a trial begins."""
    ports = iter([9])
    with ready_service() as port:
        observer = Observer(lambda: f"http://127.0.0.1:{next(ports, port)}")
        assert not observer.cooling()
        assert observer.cooling()
