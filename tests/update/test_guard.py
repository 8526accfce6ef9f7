"""The guard decides which release runs, and survives a power cut after each of its steps."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.update import guard_state
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
    for name in ("sync", "mv", "ln", "cp", "rm"):
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


def _names(tree: Tree) -> set[str]:
    return {path.name for path in (tree.base / "releases").iterdir()}


def test_the_release_before_stays_and_not_those_that_were_undone_later(tree: Tree) -> None:
    tree.release("newer")
    for name in ("new", "newer"):
        assert tree.guard("try", name, "7").returncode == 0
        assert tree.guard("undo", "it sees nothing").returncode == 0
    tree.release("newest")
    assert tree.guard("try", "newest", "8").returncode == 0
    assert _names(tree) == {"old", "new", "newer", "newest"}
    assert tree.guard("commit").returncode == 0
    assert _names(tree) == {"old", "newest"}
    assert tree.guard("rollback", "a person wanted it").returncode == 0
    assert tree.linked == "old"


def test_nothing_is_removed_where_the_new_release_is_incomplete(tree: Tree) -> None:
    tree.release("newest")
    tree.guard("try", "newest", "8")
    (tree.base / "releases/newest/complete").unlink()
    tree.guard("commit")
    assert _names(tree) == {"old", "new", "newest"}


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
    assert guard_state.read(tree.base / "update/state").undone_by_a_person
    assert tree.guard("rollback").returncode == 1


@pytest.mark.parametrize(("why", "person"), [(guard_state.BY_A_PERSON, True), ("it sees nothing", False)])
def test_a_person_who_went_back_is_known(tree: Tree, why: str, person: bool) -> None:
    tree.guard("try", "new", "7")
    tree.guard("rollback", why)
    assert guard_state.read(tree.base / "update/state").undone_by_a_person is person


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


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _with_state(tree: Tree) -> Path:
    """The older release's state; returns the folder."""
    _write(tree.base / "state/history", "old rows")
    _write(tree.base / "state/tokens.json", "two tokens")
    return tree.base / "state"


def _as_the_newer_release_writes_it(state: Path) -> None:
    _write(state / "history", "rows of a new kind")
    _write(state / "new-kind", "more")
    _write(state / "tokens.json", "one token: the other was revoked")


def _contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


_BACK = {"history": "old rows", "tokens.json": "one token: the other was revoked"}


def test_an_undone_release_leaves_the_state_as_it_was_but_no_revoked_token(tree: Tree) -> None:
    state = _with_state(tree)
    tree.guard("try", "new", "7")
    tree.guard("start")
    _as_the_newer_release_writes_it(state)
    tree.guard("undo", "it is slow")
    assert (state / "new-kind").exists()  # the service still runs
    assert tree.state["phase"] == "undoing"
    tree.guard("start")
    assert _contents(state) == _BACK
    assert (tree.linked, tree.state["phase"], tree.state["undone"]) == ("old", "idle", "new")
    assert not list(tree.base.glob("update/state-before*"))
    assert not list(tree.base.glob(".state*"))


def test_a_release_that_crashes_leaves_the_state_as_it_was(tree: Tree) -> None:
    state = _with_state(tree)
    tree.guard("try", "new", "7")
    for _ in range(4):
        tree.guard("start")
        if tree.linked == "new":
            _as_the_newer_release_writes_it(state)
    assert _contents(state) == _BACK


def test_a_kept_release_keeps_its_state(tree: Tree) -> None:
    state = _with_state(tree)
    tree.guard("try", "new", "7")
    tree.guard("start")
    _as_the_newer_release_writes_it(state)
    tree.guard("commit")
    assert not list(tree.base.glob("update/state-before*"))
    tree.guard("rollback")
    tree.guard("start")
    assert (state / "new-kind").exists()


def test_a_release_is_not_started_without_a_copy_of_the_state(tree: Tree, tmp_path: Path) -> None:
    _with_state(tree)
    tree.guard("try", "new", "7")
    failing = tmp_path / "bin"
    failing.mkdir()
    (failing / "cp").write_text("#!/bin/sh\nexit 1\n")
    (failing / "cp").chmod(0o755)
    tree.guard("start", path=str(failing))
    assert tree.linked == "old"
    assert "cannot be copied" in tree.state["why"]


_CODE = "venv/lib/python3.11/site-packages/appliance/run.py"
_LIBRARY = "venv/lib/python3.11/site-packages/openvino/large.so"


def _with_hashes(tree: Tree, name: str) -> Path:
    release = tree.base / "releases" / name
    for path in (_CODE, _LIBRARY):
        _write(release / path, f"{name} {path}")
    sums = "".join(
        f"{hashlib.sha256((release / path).read_bytes()).hexdigest()}  {path}\n" for path in (_CODE, _LIBRARY)
    )
    (release / "SHA256SUMS").write_text(sums)
    return release


@pytest.mark.parametrize("damage", ["rotten", "cut short", "gone", "no hashes"])
def test_damaged_code_is_not_started_and_not_trusted_again(tree: Tree, damage: str) -> None:
    release = _with_hashes(tree, "new")
    tree.guard("try", "new", "7")
    tree.guard("commit")
    tree.guard("start")
    assert tree.linked == "new"
    if damage == "gone":
        (release / _CODE).unlink()
    else:
        file = release / ("SHA256SUMS" if damage == "no hashes" else _CODE)
        file.write_text({"rotten": file.read_text().replace("new", "nev"), "cut short": "new", "no hashes": ""}[damage])
    tree.guard("start")
    assert tree.linked == "old"
    assert (tree.state["committed"], tree.state["undone"]) == ("old", "new")
    assert "the disk may be failing" in tree.state["why"]
    assert not (release / "complete").exists()


def test_the_only_release_is_started_even_if_it_is_damaged(tree: Tree) -> None:
    release = _with_hashes(tree, "old")
    tree.guard("adopt")
    shutil.rmtree(tree.base / "releases/new")
    (release / _CODE).write_text("rotten")
    tree.guard("start")
    assert tree.linked == "old"
    assert (release / "complete").exists()


def test_all_files_of_a_release_on_trial_are_checked_after_a_restart_of_the_device(tree: Tree) -> None:
    release = _with_hashes(tree, "new")
    assert tree.guard("check", "new").returncode == 0
    tree.guard("try", "new", "7")
    (release / _LIBRARY).write_text("rotten")
    tree.guard("start")
    assert tree.linked == "new"  # it was checked a moment ago, and the service waits
    (tree.base / "checked").unlink()  # as after a boot
    tree.guard("start")
    assert tree.linked == "old"
    assert tree.guard("check", "new").returncode == 1


def test_units_that_could_not_be_installed_are_installed_at_the_next_start(tree: Tree) -> None:
    """On a full disk some of them are those of the older release."""
    script = tree.base / "releases/new/put-units"
    script.write_text("#!/bin/sh\nexit 1\n")
    script.chmod(0o755)
    assert tree.guard("try", "new", "7").returncode == 0
    assert (tree.linked, tree.state["units"]) == ("new", "")
    tree.guard("start")
    assert tree.state["units"] == ""
    script.write_text(f"#!/bin/sh\necho >>{tree.base}/put\n")
    for _ in range(2):
        tree.guard("start")
    assert tree.state["units"] == "new"
    assert (tree.base / "put").read_text() == "\n", "once is enough"


def test_what_an_installation_has_left_that_was_cut_off_is_removed_at_the_next_start(tree: Tree) -> None:
    tree.guard("adopt")
    for name in ("half", "old"):
        (tree.release(name) if name == "half" else tree.base / "releases/old").joinpath("complete").unlink()
    (tree.base / "update/scratch/bundle").mkdir(parents=True)
    assert tree.guard("start").returncode == 0
    assert _names(tree) == {"new"}, "what is damaged is replaced, and half of one never becomes whole"
    assert not (tree.base / "update/scratch").exists()


def test_the_only_release_stays_where_it_is_incomplete(tree: Tree) -> None:
    tree.guard("adopt")
    shutil.rmtree(tree.base / "releases/new")
    (tree.base / "releases/old/complete").unlink()
    tree.guard("start")
    assert _names(tree) == {"old"}


def test_nothing_is_removed_while_a_release_is_installed(tree: Tree) -> None:
    """The service may be started again meanwhile."""
    tree.guard("adopt")
    (tree.release("half") / "complete").unlink()
    with (tree.base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tree.guard("start")
        tree.guard("try", "new", "7")
        tree.guard("commit")
        assert "half" in _names(tree)
    tree.guard("sweep")
    assert "half" not in _names(tree)


def _prepare_commit(tree: Tree) -> None:
    tree.guard("try", "new", "7")
    tree.guard("start")


def _prepare_crashed(tree: Tree) -> None:
    tree.guard("try", "new", "7")
    for _ in range(3):
        tree.guard("start")


def _prepare_undo(tree: Tree) -> None:
    state = _with_state(tree)
    tree.guard("try", "new", "7")
    tree.guard("start")
    _as_the_newer_release_writes_it(state)
    tree.guard("undo", "it is slow")


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
        (_prepare_undo, ("start",), {"old"}),
    ],
    ids=["try", "commit", "undo", "crashed", "rollback", "state"],
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
        if prepare is _prepare_undo:
            assert _contents(tree.base / "state") == _BACK
        state = tree.state
        assert tree.linked == (state["trying"] if state["phase"] == "trying" else state["committed"])
        if outcome == 0:
            break  # no step is left to cut
    assert cuts >= 2
