"""Root's part: every way out of a trial keeps the release or goes back from it, and only then is anything removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.update import switching
from appliance.update.gate import Baseline, Observation, Verdict
from appliance.update.offer import Offer
from appliance.update.places import UpdateError, UpdatePlaces
from tests.update.guard import Tree

_SIGN = frozenset({"stop sign"})
_GOOD = Observation(ready=True, seen=_SIGN, answer_ms=80.0)
_OFFER = Offer(name="new", version="2", number=7, signed_s=0)


class _System:
    """The guard is the real one, on a folder; systemctl is noted, and can be made to fail."""

    def __init__(self, root: Path, fail: str = "") -> None:
        self.places, self.tree = UpdatePlaces(root), Tree(root / "opt/appliance")
        self.fail, self.ran = fail, list[str]()
        self.now_s = 0.0
        for name in ("older", "old", "new"):
            self.tree.release(name)
        self.tree.link("old")
        self.tree.guard("adopt")

    def run(self, *command: str) -> None:
        text = " ".join(command)
        self.ran.append(text)
        if self.fail and self.fail in text:
            raise UpdateError("it fails")
        if command[0] == str(switching.GUARD):
            assert self.tree.guard(*command[1:]).returncode == 0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def begin(self) -> None:
        switching.begin_trial(self.places, _OFFER, Baseline(seen=_SIGN), self.run)

    def watch(self, observe: Callable[[], Observation]) -> Verdict:
        clock = lambda: self.now_s  # noqa: E731
        return switching.watch(self.places, observe, 60.0, self.run, clock, self.sleep).verdict


def _releases(system: _System) -> set[str]:
    return {path.name for path in system.places.releases.iterdir()}


def test_a_good_release_is_kept_and_older_ones_are_removed_afterwards(tmp_path: Path) -> None:
    system = _System(tmp_path)
    system.begin()
    assert _releases(system) == {"older", "old", "new"}
    assert system.watch(lambda: _GOOD) is Verdict.KEEP
    assert (system.tree.linked, system.tree.state["floor"]) == ("new", "7")
    assert _releases(system) == {"old", "new"}


def test_a_bad_release_is_undone_and_nothing_is_removed(tmp_path: Path) -> None:
    system = _System(tmp_path)
    system.begin()
    assert system.watch(lambda: replace(_GOOD, seen=frozenset())) is Verdict.UNDO
    assert system.tree.linked == "old"
    assert "does not detect" in system.tree.state["why"]
    assert system.ran[-1] == "systemctl restart appliance.service"
    assert _releases(system) == {"older", "old", "new"}


def test_a_watch_that_fails_undoes(tmp_path: Path) -> None:
    system = _System(tmp_path)
    system.begin()

    def fails() -> Observation:
        raise RuntimeError("the eye is broken")

    assert system.watch(fails) is Verdict.UNDO
    assert system.tree.linked == "old"
    assert "the eye is broken" in system.tree.state["why"]


@pytest.mark.parametrize("step", ["restart --no-block", "start --no-block"])
def test_a_trial_that_cannot_begin_is_undone(tmp_path: Path, step: str) -> None:
    system = _System(tmp_path, fail=step)
    with pytest.raises(UpdateError, match="it fails"):
        system.begin()
    assert system.tree.linked == "old"
    assert system.ran[-1] == "systemctl restart appliance.service"


def test_a_person_who_ends_the_trial_ends_the_watch(tmp_path: Path) -> None:
    system = _System(tmp_path)
    system.begin()

    def undone_meanwhile() -> Observation:
        system.tree.guard("undo", "a person wanted it")
        return _GOOD

    assert system.watch(undone_meanwhile) is Verdict.WAIT
    assert system.tree.state["why"] == "a person wanted it"


def test_networks_are_compiled_ahead_once_the_device_is_cool(tmp_path: Path) -> None:
    system, hot = _System(tmp_path), [True, True, False]
    switching.warm("2.0-a+b", lambda: hot.pop(0), system.run, system.sleep)
    assert system.ran == [r"systemctl start appliance-update-warm@2.0\x2da\x2bb.service"]
    assert system.now_s == 20


def test_a_device_that_stays_hot_or_cannot_compile_is_updated_all_the_same(tmp_path: Path) -> None:
    system = _System(tmp_path, fail="appliance-update-warm@")
    switching.warm("2.0-a", lambda: True, system.run, system.sleep)
    assert system.ran == []
    switching.warm("2.0-a", lambda: False, system.run, system.sleep)
    assert len(system.ran) == 1


def test_the_baseline_survives_a_restart_of_the_watch(tmp_path: Path) -> None:
    system = _System(tmp_path)
    system.begin()
    assert switching.read_baseline(system.places) == Baseline(seen=_SIGN)


def test_a_guard_that_is_not_installed_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(UpdateError, match=r"^/nowhere/update-guard is missing: run the installer again$"):
        switching.run("/nowhere/update-guard", "rollback")
