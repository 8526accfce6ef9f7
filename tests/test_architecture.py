"""docs/architecture.md, its data and its picture are true to the package."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from tests.program_files import imported

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "appliance"
TOP_LEVEL = {
    "appliance", "models", "systemd", "provisioning", "tests", "docs", "Makefile", "pyproject.toml",
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE",
}  # fmt: skip


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    return imported(ROOT / "docs/draw_architecture.py")


def rooms() -> set[str]:
    """The package's own modules and folders."""
    modules = {path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")}
    return modules | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def test_the_top_level_holds_what_a_newcomer_expects_and_nothing_else() -> None:
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is not a clone: git cannot say which files belong to the project")
    names = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_every_room_is_described_and_every_described_room_exists(drawing: ModuleType) -> None:
    assert set(drawing.read()["rooms"]) == rooms()


def test_every_room_stands_on_exactly_one_floor(drawing: ModuleType) -> None:
    placed = [room for floor in drawing.floors() for room in floor]
    assert sorted(placed) == sorted(rooms())


def test_both_ways_lead_through_rooms_that_exist(drawing: ModuleType) -> None:
    data = drawing.read()
    assert {step["room"] for step in data["frame"] + data["temperature"]} <= rooms()


def test_the_picture_is_the_one_that_the_script_draws(drawing: ModuleType) -> None:
    drawn = (ROOT / "docs/architecture.svg").read_text(encoding="utf-8")
    assert drawn == drawing.svg(), "run: .venv/bin/python docs/draw_architecture.py"


def test_the_page_names_all_rooms_and_no_others() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `([a-z_]+)/?`", page, re.MULTILINE)
    assert sorted(table) == sorted(rooms())


def test_files_that_the_page_names_exist() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:appliance|docs|tests)/[\w/.]+\.\w+)`", page)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
