"""The power is cut after each step of an update and at random moments: one whole release runs afterwards.

Everything ends at once, and what was not synced to the disk is lost. `make update-cut-test`.
CUTS: the number of random moments, SEED: which.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.boot.conftest import Measured
from tests.provisioning.blank import BlankDevice, blank_disk, switched_on
from tests.provisioning.conftest import PREPARED
from tests.provisioning.memory_card import MemoryCard, memory_card, why_not
from tests.provisioning.offers import Offers

pytestmark = [pytest.mark.provision, pytest.mark.slow]

_APPLIANCE = "/usr/local/bin/appliance"
_SETTINGS = "[update]\ncommit_after_s = 30\n"
_CUTS = int(os.environ.get("CUTS", "3"))
_SEED = int(os.environ.get("SEED", "5"))
_WITHIN_S = 900.0
_BEFORE, _GOOD, _BAD = "0.1.9", "0.5.0", "0.5.1"
_CRASHES = {"appliance/service/run.py": "\nraise SystemExit(7)\n"}


@dataclass(frozen=True)
class _Device:
    """A device that is switched off: its card, and what it can be updated from."""

    card: MemoryCard
    offers: Offers
    sources: Mapping[str, str]


@pytest.fixture(scope="module")
def device(can_provision: None, offers: Offers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Device]:
    if reason := why_not():
        pytest.skip(reason)
    with memory_card(tmp_path_factory.mktemp("card")) as card:
        with blank_disk("bookworm", PREPARED, card.root), switched_on(card.root, offers.options) as on:
            offers.install(on, _SETTINGS)
        sources = {version: offers.offer(version, more) for version, more in ((_GOOD, {}), (_BAD, _CRASHES))}
        yield _Device(card, offers, sources)


def _state(root: Path) -> dict[str, str]:
    lines = (root / "opt/appliance/update/state").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)


def _linked(root: Path) -> str:
    return os.readlink(root / "opt/appliance/current").removeprefix("releases/")


def _exists(pattern: str) -> Callable[[Path, str], object]:
    return lambda root, version: next(root.glob(pattern.replace("VERSION", version)), None)


_STEPS: Mapping[str, tuple[str, Callable[[Path, str], object]]] = {
    "files are fetched": (_GOOD, _exists("var/lib/appliance-update/staging/targets/*")),
    "root is asked": (_GOOD, _exists("var/lib/appliance-update/install-requested")),
    "the environment is made": (_GOOD, _exists("opt/appliance/releases/VERSION-*/venv/lib/*/site-packages/numpy")),
    "the hashes are noted": (_GOOD, _exists("opt/appliance/releases/VERSION-*/SHA256SUMS")),
    "the release is complete": (_GOOD, _exists("opt/appliance/releases/VERSION-*/complete")),
    "the trial is noted": (_GOOD, lambda root, version: _state(root)["trying"].startswith(version)),
    "the link is set": (_GOOD, lambda root, version: _linked(root).startswith(version)),
    "the state is copied": (_GOOD, _exists("opt/appliance/update/state-before-VERSION-*")),
    "the release is kept": (_GOOD, lambda root, version: _state(root)["committed"].startswith(version)),
    "going back is noted": (_BAD, lambda root, version: _state(root)["phase"] == "undoing"),
    "the link is set back": (
        _BAD,
        lambda root, version: _state(root)["phase"] == "undoing" and not _linked(root).startswith(version),
    ),
    "the state is put back": (_BAD, _exists("var/lib/.appliance.*")),
}


@pytest.mark.parametrize("step", _STEPS)
def test_a_cut_after_a_step(device: _Device, measured: Measured, step: str) -> None:
    version, done = _STEPS[step]
    root = device.card.root

    def wait(on: BlankDevice) -> None:
        deadline_s, looked_s = time.monotonic() + _WITHIN_S, 0.0
        while not _holds(done, root, version):
            assert time.monotonic() < deadline_s, f"never: {step}"
            if time.monotonic() > looked_s + 5:
                looked_s = time.monotonic()
                assert not on.is_in_state("updating.service", "failed"), on.journal("updating.service")
            time.sleep(0.002)

    measured(_cut(device, version, wait))


@pytest.mark.parametrize("number", range(_CUTS))
def test_a_cut_at_a_random_moment(device: _Device, measured: Measured, number: int) -> None:
    moment_s = random.Random(f"{_SEED} {number}").uniform(0.5, 100)
    version = _BAD if number % 4 == 3 else _GOOD
    outcome = _cut(device, version, lambda _: time.sleep(moment_s))
    what = "one that crashes" if version == _BAD else "a good one"
    measured(f"{moment_s:.0f} s after the command to install {what}: {outcome}")


def _holds(done: Callable[[Path, str], object], root: Path, version: str) -> bool:
    try:
        return bool(done(root, version))
    except (OSError, KeyError):  # it is being replaced
        return False


def _cut(device: _Device, version: str, wait: Callable[[BlankDevice], None]) -> str:
    """Update to a version, wait, cut the power, and check what runs afterwards; returns it."""
    card, options = device.card, device.offers.options
    with switched_on(card.root, options) as on:
        before = _prepare(on)
        on.run("systemd-run", "--no-block", "--unit=updating", _APPLIANCE, "update", "install", device.sources[version])
        wait(on)
        card.cut()
    card.plug_in()
    with switched_on(card.root, options) as on:
        started_s = time.monotonic()
        on.wait_until("ready", lambda: on.get("/health/ready")[0] == 200, _WITHIN_S)
        ready_s = time.monotonic() - started_s
        on.wait_until("the end of a trial", lambda: _state(card.root)["phase"] == "idle", _WITHIN_S)
        on.wait_until("ready", lambda: on.get("/health/ready")[0] == 200, _WITHIN_S)
        linked = _linked(card.root)
        assert linked == _state(card.root)["committed"]
        on.run("/usr/libexec/appliance/update-guard", "check", linked)  # every file has its hash
        runs = str(on.get("/health")[1]["version"])
        assert linked.startswith(f"{runs}-")
        assert runs in (before, version if version == _GOOD else before)
        assert on.run("cat", "/var/lib/appliance/kept") == "state"
        return (
            f"ready {ready_s:.0f} s after switching on, with {'the newer' if runs == version else 'the older'} release"
        )


def _prepare(on: BlankDevice) -> str:
    """Make the older release the only one, and write state; returns its version."""
    on.wait_until("ready", lambda: on.get("/health/ready")[0] == 200, _WITHIN_S)
    if on.get("/health")[1]["version"] == _GOOD:
        on.run(_APPLIANCE, "update", "rollback")
        on.wait_until("ready", lambda: on.get("/health/ready")[0] == 200, _WITHIN_S)
    version = str(on.get("/health")[1]["version"])
    on.run("sh", "-c", f"cd /opt/appliance/releases && rm -rf {_GOOD}-* {_BAD}-*")
    on.write("/var/lib/appliance/kept", "state\n", "appliance:appliance")
    on.run("sync")
    assert re.fullmatch(r"[\d.]+", version)
    return version
