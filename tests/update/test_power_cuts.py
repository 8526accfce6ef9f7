"""Every history of updates, crashes and power cuts, with unsynced writes kept or lost: one whole release runs.

The disk is a model; the decision is the guard's own, asked once for every state and facts.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.update.guard import Facts, decide

_NAMES = ("-", "a", "b", "c")
_STARTS = 3


class _Cut(Exception):
    """The power is cut."""


@dataclass(frozen=True)
class _State:
    phase: str = "idle"
    committed: str = "-"
    trying: str = "-"
    starts: int = 0


@dataclass
class _Disk:
    """`files`: what programs see; `durable`: what a cut leaves for certain. It keeps or loses each other write."""

    files: dict[str, object] = field(default_factory=dict)
    durable: dict[str, object] = field(default_factory=dict)

    def sync(self) -> None:
        self.durable = dict(self.files)

    def cut(self, kept: Iterator[bool]) -> None:
        for name in {**self.files, **self.durable}:
            if self.files.get(name) != self.durable.get(name) and next(kept):
                self.durable[name] = self.files.get(name)
        self.files = {name: value for name, value in self.durable.items() if value is not None}
        self.durable = dict(self.files)


class _Table(dict[Facts, tuple[str, ...]]):
    """The guard's decisions, asked once each."""

    def __missing__(self, facts: Facts) -> tuple[str, ...]:
        self[facts] = decide([facts])[0]
        return self[facts]


@pytest.fixture(scope="module")
def table() -> _Table:
    """The guard's decisions, with all of a device with two releases."""
    facts: list[Facts] = [
        (phase, committed, trying, starts, linked, *wholes, other)
        for phase, trying, starts in (
            ("idle", "-", "0"),
            ("undoing", "-", "0"),
            ("trying", "b", "0"),
            ("trying", "b", "2"),
        )
        for committed, linked in itertools.product("-ab", repeat=2)
        for wholes in itertools.product(("yes", "no"), repeat=3)
        for other in "-c"
        if all(name != "-" or one == "no" for name, one in zip((linked, committed, trying), wholes, strict=True))
    ]
    return _Table(zip(facts, decide(facts), strict=True))


class _Device:
    """A device whose every step may be its last before a cut."""

    def __init__(self, table: _Table, kept: Iterator[bool], steps: int) -> None:
        self.table, self.kept, self.steps = table, kept, steps
        self.disk = _Disk({"state": _State(committed="a"), "link": "a", "a": "whole"})
        self.disk.sync()

    @property
    def state(self) -> _State:
        state = self.disk.files["state"]
        assert isinstance(state, _State)
        return state

    def put(self, name: str, value: object, *, synced: bool = True) -> None:
        """One write; the power may be cut before it, before it is synced, and after that."""
        self._tick()
        self.disk.files[name] = value
        if synced:
            self._tick()
            self.disk.sync()

    def _tick(self) -> None:
        self.steps -= 1
        if self.steps == 0:
            self.disk.cut(self.kept)
            raise _Cut

    def whole(self, name: str) -> bool:
        return self.disk.files.get(name) == "whole"

    def guard(self) -> None:
        files, state = self.disk.files, self.state
        other = next((name for name in reversed(_NAMES) if self.whole(name)), "-")
        linked = str(files["link"])
        wholes = ("yes" if self.whole(name) else "no" for name in (linked, state.committed, state.trying))
        found = self.table[(state.phase, state.committed, state.trying, str(state.starts), linked, *wholes, other)]
        phase, committed, trying, starts, run = found
        new = _State(phase, committed, trying, int(starts))
        if new != state:
            self.put("state", new)
        self._settle(run)

    def _settle(self, run: str) -> None:
        if run not in ("-", self.disk.files["link"]):
            self.put("link", run)
        if self.state.phase == "undoing":
            self.put("state", replace(self.state, phase="idle"))

    def install(self, name: str) -> None:
        if self.state.phase != "idle" or name == self.disk.files["link"]:
            return
        self.put(name, "part", synced=False)
        self.put(name, "files")  # `sync -f`
        self.put(name, "whole")
        self.put("state", _State("trying", str(self.disk.files["link"]), name, _STARTS))
        self._settle(name)

    def commit(self) -> None:
        if self.state.phase == "trying":
            self.put("state", _State("idle", self.state.trying))

    def undo(self) -> None:
        if self.state.phase == "trying":
            self.put("state", _State("undoing", self.state.committed))
            self._settle(self.state.committed)

    def prune(self) -> None:
        """Remove what is neither in use nor on trial."""
        if self.state.phase == "idle":
            for name in _NAMES[1:]:
                if name not in (self.disk.files["link"], self.state.committed) and name in self.disk.files:
                    self.put(name, "part")


_ACTS = st.sampled_from(["install b", "install c", "commit", "undo", "guard", "prune"])


@settings(max_examples=200)
@given(acts=st.lists(_ACTS, max_size=8), cuts=st.lists(st.integers(1, 14), max_size=4), kept=st.lists(st.booleans()))
def test_one_whole_release_runs_after_any_cuts(
    table: _Table, acts: list[str], cuts: list[int], kept: list[bool]
) -> None:
    device = _Device(table, itertools.chain(kept, itertools.repeat(False)), 0)
    pending = iter(cuts)
    device.steps = next(pending, 0)
    for act in [*acts, "guard"]:
        verb, _, name = act.partition(" ")
        try:
            getattr(device, verb)(*([name] if name else []))
        except _Cut:
            while True:  # the device starts again, and may be cut again
                device.steps = next(pending, 0)
                try:
                    device.guard()
                    break
                except _Cut:
                    continue
        assert device.whole(str(device.disk.files["link"]))
    state = device.state
    assert device.disk.files["link"] == (state.trying if state.phase == "trying" else state.committed)


def test_every_decision_runs_a_whole_release_if_there_is_one(table: _Table) -> None:
    for facts, (_, committed, trying, _, run) in table.items():
        _, was, tried, _, linked, whole_linked, whole_committed, whole_trying, other = facts
        whole = {linked: whole_linked, was: whole_committed, tried: whole_trying, other: "yes"}
        if other != "-" and len({linked, was, tried}) == 3:  # otherwise the facts contradict each other
            assert run != "-", facts
            assert whole[run] == "yes" or whole.get(other) != "yes", facts
            assert run in (committed, trying), facts


def test_a_release_on_trial_starts_three_times_at_most(table: _Table) -> None:
    facts: Facts = ("trying", "a", "b", "3", "b", "yes", "yes", "yes", "b")
    ran = []
    while True:
        phase, committed, trying, starts, run = table[facts]
        ran.append(run)
        if phase != "trying":
            break
        facts = (phase, committed, trying, starts, "b", "yes", "yes", "yes", "b")
    assert ran == ["b", "b", "b", "a"]
