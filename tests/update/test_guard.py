"""The guard decides which release runs, and survives a power cut after each of its steps."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.update.guard import Tree

_CUT = """#!/bin/sh
# Stands for {name}; before step {at} the power is cut.
read n <{folder}/count
echo $((n + 1)) >{folder}/count
[ "$n" != {at} ] || kill -9 $PPID
exec {real} "$@"
"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path / "opt")
    tree.release("old")
    tree.release("new")
    tree.link("old")
    return tree


def _cutting(folder: Path, at: int) -> str:
    """A folder of programs that cut the power before the given step."""
    folder.mkdir()
    (folder / "count").write_text("0\n")
    for name in ("sync", "mv", "ln"):
        program = folder / name
        program.write_text(_CUT.format(name=name, folder=folder, at=at, real=shutil.which(name)))
        program.chmod(0o755)
    return str(folder)


def test_a_release_on_trial_is_kept_after_commit(tree: Tree) -> None:
    assert tree.guard("try", "new", "7").returncode == 0
    assert tree.linked == "new"
    tree.guard("start")
    tree.guard("commit")
    assert (tree.state["phase"], tree.state["committed"], tree.state["previous"]) == ("idle", "new", "old")
    assert tree.state["floor"] == "7"
    assert tree.linked == "new"


def test_a_release_that_does_not_stay_up_is_undone_at_the_fourth_start(tree: Tree) -> None:
    tree.guard("try", "new", "7")
    ran = []
    for _ in range(4):
        tree.guard("start")
        ran.append(tree.linked)
    assert ran == ["new", "new", "new", "old"]
    assert tree.state["undone"] == "new"
    assert "did not stay up" in tree.state["why"]
    assert tree.state["floor"] == "0"


def test_a_damaged_release_on_trial_is_undone(tree: Tree) -> None:
    tree.guard("try", "new", "7")
    (tree.base / "releases/new/complete").unlink()
    tree.guard("start")
    assert tree.linked == "old"
    assert "incomplete" in tree.state["why"]


def test_an_undone_release_names_its_reason_in_one_line(tree: Tree) -> None:
    tree.guard("try", "new", "7")
    tree.guard("undo", "it sees\nnothing; x=1 $(reboot)")
    assert tree.linked == "old"
    assert tree.state["why"] == "it sees nothing; x=1 $(reboot)"
    assert tree.state["phase"] == "idle"


def test_rollback_returns_to_the_release_before(tree: Tree) -> None:
    tree.guard("try", "new", "7")
    tree.guard("commit")
    assert tree.guard("rollback").returncode == 0
    assert tree.linked == "old"
    assert (tree.state["committed"], tree.state["undone"], tree.state["floor"]) == ("old", "new", "7")
    assert tree.guard("rollback").returncode == 1


def test_a_link_set_by_hand_is_respected(tree: Tree) -> None:
    tree.guard("adopt")
    tree.link("new")
    tree.guard("start")
    assert tree.linked == "new"
    assert tree.state["committed"] == "new"


@pytest.mark.parametrize("broken", ["gone", "incomplete"])
def test_a_link_to_a_broken_release_is_replaced(tree: Tree, broken: str) -> None:
    tree.guard("adopt")
    tree.link("new")
    if broken == "gone":
        shutil.rmtree(tree.base / "releases/new")
    else:
        (tree.base / "releases/new/complete").unlink()
    tree.guard("start")
    assert tree.linked == "old"


def test_a_release_that_is_missing_or_in_use_is_not_tried(tree: Tree) -> None:
    assert tree.guard("try", "absent", "1").returncode == 1
    assert tree.guard("try", "old", "1").returncode == 1
    tree.guard("try", "new", "1")
    tree.release("third")
    assert tree.guard("try", "third", "2").returncode == 1
    assert tree.linked == "new"


def test_without_a_state_nothing_is_changed(tree: Tree) -> None:
    assert tree.guard("start").returncode == 0
    assert not (tree.base / "update").exists()


def _prepare_commit(tree: Tree) -> None:
    tree.guard("try", "new", "7")
    tree.guard("start")


def _prepare_crashed(tree: Tree) -> None:
    tree.guard("try", "new", "7")
    for _ in range(3):
        tree.guard("start")


def _prepare_rollback(tree: Tree) -> None:
    tree.guard("try", "new", "7")
    tree.guard("commit")


@pytest.mark.parametrize(
    ("prepare", "step", "either"),
    [
        (lambda tree: tree.guard("adopt"), ("try", "new", "7"), {"old", "new"}),
        (_prepare_commit, ("commit",), {"new"}),
        (_prepare_commit, ("undo", "it sees nothing"), {"old", "new"}),
        (_prepare_crashed, ("start",), {"old"}),
        (_prepare_rollback, ("rollback",), {"old", "new"}),
    ],
    ids=["try", "commit", "undo", "crashed", "rollback"],
)
def test_a_cut_after_each_step_leaves_one_whole_release(
    tree: Tree, tmp_path: Path, prepare: Callable[[Tree], object], step: tuple[str, ...], either: set[str]
) -> None:
    prepare(tree)
    kept = tmp_path / "kept"
    shutil.copytree(tree.base, kept, symlinks=True)
    for cuts in itertools.count():
        shutil.rmtree(tree.base)
        shutil.copytree(kept, tree.base, symlinks=True)
        outcome = tree.guard(*step, path=_cutting(tmp_path / f"bin-{cuts}", cuts)).returncode
        assert (tree.base / "releases" / tree.linked / "complete").exists()
        assert tree.guard("start").returncode == 0
        assert tree.linked in either
        state = tree.state
        assert tree.linked == (state["trying"] if state["phase"] == "trying" else state["committed"])
        if outcome == 0:
            break  # no step is left to cut
    assert cuts >= 2
