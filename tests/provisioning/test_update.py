"""Signed updates on a device: what is good stays, anything else is undone, and a cut leaves one whole release.

The tests share one device and run in this order (`make update-test`).
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.boot.conftest import Measured
from tests.provisioning.blank import BlankDevice, blank_disk, switched_on
from tests.provisioning.cameras import sending
from tests.provisioning.conftest import PREPARED
from tests.provisioning.offers import Offers, fetched_of

pytestmark = [pytest.mark.provision, pytest.mark.slow]

_APPLIANCE = "/usr/local/bin/appliance"
_GUARD = "/usr/libexec/appliance/update-guard"
_SETTINGS = '[update]\ncommit_after_s = 30\n\n[log]\nlevel = "info"\n'
_LONG_S = 900.0
_CUTS = int(os.environ.get("CUTS", "3"))
"""Random moments at which the power is cut."""

_SLOW = {
    "appliance/web/payloads.py": "\nimport time\n_fast = of_detected\n\n"
    "def of_detected(*parts):\n    time.sleep(0.7)\n    return _fast(*parts)\n"
}

Offer = Callable[[str, Mapping[str, str]], str]
"""Offers a release with this version and changed modules; returns the path of its repository on the device."""


@pytest.fixture(scope="module")
def offer(offers: Offers) -> Offer:
    return offers.offer


@pytest.fixture(scope="module")
def device(can_provision: None, offers: Offers) -> Iterator[BlankDevice]:
    """A device that was installed from the bundle and trusts the operator."""
    with blank_disk("bookworm", PREPARED) as disk, switched_on(disk, offers.options) as device:
        offers.install(device, _SETTINGS)
        yield device


def _state(device: BlankDevice) -> dict[str, str]:
    lines = device.run("cat", "/opt/appliance/update/state").splitlines()
    return dict(line.split("=", 1) for line in lines)


def _install(device: BlankDevice, source: str) -> str:
    code, output = device.tried(_APPLIANCE, "update", "install", source)
    assert code == 0, output + device.journal("appliance-update-install.service")
    return output


def _ended(device: BlankDevice) -> dict[str, str]:
    """The state after the trial."""
    device.wait_until("the end of the trial", lambda: _state(device)["phase"] == "idle", _LONG_S)
    device.wait_until("ready", lambda: device.get("/health/ready")[0] == 200, _LONG_S)
    return _state(device)


def _versions(device: BlankDevice) -> list[str]:
    """The versions of the installed releases."""
    return sorted(name.split("-")[0] for name in device.run("ls", "/opt/appliance/releases").split())


def _version(device: BlankDevice) -> str:
    """Empty while the service is restarting."""
    report = device.get("/health")[1]
    return str(report["version"]) if isinstance(report, dict) else ""


def _taken_s(act: Callable[[], object]) -> float:
    started_s = time.monotonic()
    act()
    return time.monotonic() - started_s


def test_a_good_release_is_kept_and_fetches_only_its_code(
    device: BlankDevice, offer: Offer, measured: Measured
) -> None:
    source = offer("0.2.0", {})
    started_s = time.monotonic()
    output = _install(device, source)
    installed_s = time.monotonic() - started_s
    state = _ended(device)
    assert state["committed"].startswith("0.2.0-"), state
    assert _version(device) == "0.2.0"
    fetched = fetched_of(output)
    assert float(fetched.split()[-2]) < 1.5, fetched  # the wheel; everything together is 200 MB
    check_s = _taken_s(lambda: device.run(_GUARD, "check", state["committed"]))
    start_s = _taken_s(lambda: device.run(_GUARD, "start"))
    measured(
        f"{fetched}; on trial after {installed_s:.0f} s; guard: {start_s:.2f} s at a start, {check_s:.1f} s all files"
    )


@pytest.mark.parametrize(
    ("version", "more", "reason"),
    [
        ("0.3.0", {"appliance/service/run.py": "\nraise SystemExit(7)\n"}, ("did not stay up", "it crashed")),
        (
            "0.3.1",
            {
                "appliance/service/run.py": "\nimport os, threading\n"
                "_end = threading.Timer(20, lambda: os._exit(3))\n_end.daemon = True\n_end.start()\n"
            },
            ("it crashed",),
        ),
        (
            "0.3.2",
            {
                "appliance/web/payloads.py": "\n_seeing = of_detected\n\n"
                "def of_detected(*parts):\n    return {**_seeing(*parts), 'detections': []}\n"
            },
            ("it does not detect stop sign in the test picture",),
        ),
        (
            "0.3.3",
            _SLOW,
            ("it is slower",),
        ),
        ("0.3.4", {"appliance/service/run.py": "\nimport time\ntime.sleep(1e6)\n"}, ("it crashed",)),
    ],
    ids=["crashes", "dies after a while", "blind", "slow", "hangs"],
)
def test_a_bad_release_is_undone(
    device: BlankDevice,
    offer: Offer,
    measured: Measured,
    version: str,
    more: Mapping[str, str],
    reason: tuple[str, ...],
) -> None:
    source, before = offer(version, more), _version(device)
    started_s = time.monotonic()
    code, output = device.tried(_APPLIANCE, "update", "install", source)
    assert code == 0, output + device.journal("appliance-update-install.service")
    state = _ended(device)
    taken_s = time.monotonic() - started_s
    assert state["undone"].startswith(f"{version}-"), state
    assert any(one in state["why"] for one in reason), state
    assert _version(device) == before
    measured(f"undone {taken_s:.0f} s after the command: {state['why']}")


def _switched(device: BlankDevice, version: str) -> tuple[float, float]:
    """Wait for the switch to this version; returns when the link was set and when the device was ready again."""
    link = device.root / "opt/appliance/current"
    deadline_s = time.monotonic() + _LONG_S
    while not os.readlink(link).startswith(f"releases/{version}-"):
        assert time.monotonic() < deadline_s, "no switch"
        time.sleep(0.02)
    flipped_s = time.monotonic()
    device.wait_until("ready", lambda: device.get("/health/ready")[0] == 200 and _version(device) == version, _LONG_S)
    return flipped_s, time.monotonic()


def test_cameras_send_again_by_themselves(
    device: BlankDevice, offer: Offer, measured: Measured, tmp_path: Path
) -> None:
    source = offer("0.2.1", {})
    with sending(device, tmp_path) as cameras:
        device.wait_until("cameras send", lambda: cameras.answering(0.0))
        with device.background(_APPLIANCE, "update", "install", source):
            flipped_s, ready_s = _switched(device, "0.2.1")
            device.wait_until("cameras send again", lambda: cameras.answering(ready_s))
            assert _ended(device)["committed"].startswith("0.2.1-")
            gaps = (f"{name} {cameras.longest_gap_s(name, flipped_s - 5):.1f} s" for name in cameras.answered_s)
            measured(
                f"ready {ready_s - flipped_s:.1f} s after the flip; longest time without answers: {', '.join(gaps)}"
            )
        compiled = device.journal("appliance-update-warm@*")
        assert "networks are compiled" in compiled, compiled


def _rows(device: BlankDevice) -> int:
    """For how many ten seconds of the last hour the latency of frames is known."""
    columns = device.get("/health/history?span=hour")[1]["columns"]
    return sum(one is not None for one in columns["latency_p50_ms"])


def test_a_release_that_is_slow_for_cameras_is_undone_and_so_is_its_state(
    device: BlankDevice, offer: Offer, measured: Measured, tmp_path: Path
) -> None:
    source, older = offer("0.2.2", _SLOW), _version(device)
    with sending(device, tmp_path) as cameras:
        device.wait_until("cameras send", lambda: cameras.answering(0.0))
        device.wait_until("a minute of history", lambda: _rows(device) >= 8, _LONG_S)
        # Longer, so that the history of the new release has rows.
        device.write("/etc/appliance/appliance.toml", _SETTINGS.replace("30", "60"), "root:appliance")
        before = device.run("ls", "-A", "/var/lib/appliance")
        _install(device, source)
        device.wait_until("it runs", lambda: device.get("/health")[0] == 200 and _version(device) == "0.2.2", _LONG_S)
        device.write("/var/lib/appliance/new-kind", "of state\n", "appliance:appliance")
        state = _ended(device)
        undone_s = time.monotonic()
        device.wait_until("cameras send again", lambda: cameras.answering(undone_s))
    device.write("/etc/appliance/appliance.toml", _SETTINGS, "root:appliance")
    assert "it is slower" in state["why"], state
    assert _version(device) == older
    assert device.run("ls", "-A", "/var/lib/appliance") == before
    measured(f"undone: {state['why']}; the state of the service is as before, cameras send again")


def test_a_person_returns_to_the_release_before(device: BlankDevice) -> None:
    newer = _version(device)
    device.run(_APPLIANCE, "update", "rollback")
    device.wait_until("ready", lambda: device.get("/health/ready")[0] == 200)
    assert _version(device) != newer


def test_of_three_releases_in_a_row_two_stay(device: BlankDevice, offer: Offer, measured: Measured) -> None:
    for version in ("0.4.0", "0.4.1"):
        _install(device, offer(version, {}))
        assert _ended(device)["committed"].startswith(f"{version}-")
    device.wait_until("pruned", lambda: _versions(device) == ["0.4.0", "0.4.1"])  # after the older ones are removed
    releases = _versions(device)
    measured(f"left: {', '.join(releases)}; {device.run('du', '-sm', '/opt/appliance').split()[0]} MB")


def test_a_device_updates_itself_in_its_window(device: BlankDevice, offer: Offer, measured: Measured) -> None:
    automatic = f'source = "{offer("0.6.0", {})}"\nautomatic = true\nwindow = "00:00-23:59"\n'
    device.write("/etc/appliance/appliance.toml", _SETTINGS.replace("\n\n", f"\n{automatic}\n", 1), "root:appliance")
    device.run("systemctl", "start", "appliance-update-fetch@check.service")
    device.wait_until("on trial or kept", lambda: "0.6.0-" in "".join(_state(device).values()), _LONG_S)
    state = _ended(device)
    assert state["committed"].startswith("0.6.0-"), state
    assert device.is_in_state("appliance-update-check.timer", "active")
    device.write("/etc/appliance/appliance.toml", _SETTINGS, "root:appliance")
    measured(fetched_of(device.journal("appliance-update-fetch@check.service")))


def test_a_service_has_its_update_installed_on_request(device: BlankDevice, offer: Offer) -> None:
    source = offer("0.6.1", {})
    settings = _SETTINGS.replace("\n\n", f'\nsource = "{source}"\n\n', 1)
    device.write("/etc/appliance/appliance.toml", settings, "root:appliance")
    device.write("/var/lib/appliance/update-requested", "install\n", "appliance:appliance")
    device.wait_until("on trial or kept", lambda: "0.6.1-" in "".join(_state(device).values()), _LONG_S)
    assert _ended(device)["committed"].startswith("0.6.1-")
    device.write("/etc/appliance/appliance.toml", _SETTINGS, "root:appliance")


def test_a_killed_update_leaves_one_whole_release(device: BlankDevice, offer: Offer, measured: Measured) -> None:
    source = offer("0.5.0", {})
    chance, outcomes = random.Random(5), []
    for _ in range(_CUTS):
        moment_s = chance.uniform(0.5, 60)
        with device.background(_APPLIANCE, "update", "install", source):
            time.sleep(moment_s)
            for unit in ("appliance-update-install.service", "background-1.service"):
                device.run("systemctl", "kill", "--signal=KILL", unit, may_fail=True)
        state = _ended(device)
        linked = device.run("readlink", "/opt/appliance/current").removeprefix("releases/")
        assert linked == state["committed"]
        assert device.run("test", "-e", f"/opt/appliance/releases/{linked}/complete") == ""
        outcomes.append(f"{moment_s:.0f} s: {_version(device)}")
        if _version(device) == "0.5.0":
            device.run(_APPLIANCE, "update", "rollback")
            device.wait_until("ready", lambda: device.get("/health/ready")[0] == 200)
    measured("; ".join(outcomes))
