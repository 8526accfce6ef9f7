"""Code rules that no other tool checks."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "appliance"
FILES = sorted(PACKAGE.rglob("*.py"))


def names(path: Path) -> set[str]:
    """All attributes and names that a file uses."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    return {node.attr for node in nodes if isinstance(node, ast.Attribute)} | {
        node.id for node in nodes if isinstance(node, ast.Name)
    }


def test_the_service_never_loads_packages_for_workstations() -> None:
    """Neither the service nor one of its libraries may import torch on the device."""
    program = (
        "import sys, appliance.service.run, appliance.cli, appliance.commands.doctor.examine, appliance.camera.agent;"
        "import appliance.camera.sources, appliance.engines.openvino, appliance.workshop.fetch;"
        "import openvino, openvino.preprocess;"
        "print(sorted({'torch', 'ultralytics', 'nncf', 'matplotlib', 'onnx', 'tensorflow', 'tuf'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, cwd=PACKAGE.parent
    )
    assert done.stderr == ""
    assert done.stdout.strip() == "[]"


def test_the_command_line_starts_without_heavy_imports() -> None:
    program = "import sys, appliance.cli; print(sorted({'openvino', 'cv2', 'numpy', 'aiohttp'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=PACKAGE.parent
    )
    assert done.stdout.strip() in ("[]", "['numpy']")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_task_is_created_outside_the_task_group(path: Path) -> None:
    """The failure of a task without an owner goes unnoticed."""
    assert not {"create_task", "ensure_future"} & names(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_has_a_docstring(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or path.name == "__main__.py"


def test_no_file_has_a_meaningless_name() -> None:
    assert not {"utils", "util", "helpers", "common", "manager", "misc"} & {path.stem for path in PACKAGE.rglob("*")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_function_is_longer_than_60_lines(path: Path) -> None:
    functions = (
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )
    assert [one.name for one in functions if (one.end_lineno or 0) - one.lineno >= 60] == []


def types_of(path: Path) -> Iterator[str]:
    """The classes of a file, also nested ones, and its type aliases: `Handler = Callable[...]`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    yield from (node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(target, ast.Name) and target.id[0].isupper() and not target.id.isupper():
            yield target.id


def test_a_type_name_is_defined_once() -> None:
    """A reader who meets a name knows what it means without its import."""
    places = [(name, str(path.relative_to(PACKAGE))) for path in FILES for name in types_of(path)]
    counts = Counter(name for name, _ in places)
    assert sorted(place for place in places if counts[place[0]] > 1) == []


def definitions_of(path: Path) -> Iterator[str]:
    """The functions, classes and constants of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    yield from (node.name for node in ast.walk(tree) if isinstance(node, definitions))
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        yield from (name.id for name in targets if isinstance(name, ast.Name))


def test_everything_that_is_defined_is_used() -> None:
    """A name of the package that occurs nowhere else, not even in a test, is left over."""
    of_libraries = {"download_file", "seekable"}  # tuf and zipfile call them
    folders = [PACKAGE.parent / folder for folder in ("appliance", "tests", "provisioning", "docs")]
    files = [path for folder in folders for path in folder.rglob("*.py") if path != Path(__file__)]
    words = Counter(re.findall(r"\w+", "\n".join(path.read_text(encoding="utf-8") for path in files)))
    defined = Counter(name for path in FILES for name in definitions_of(path) if not name.startswith(("__", "test_")))
    assert {name for name, times in defined.items() if words[name] <= times} == of_libraries


def foreign_attributes_of(path: Path) -> Iterator[str]:
    """Where a constructor sets an attribute of what it was given, or the service one of any part."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name.asname or name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    }
    for function in ast.walk(tree):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        given = {one.arg for one in (*function.args.args, *function.args.kwonlyargs)}
        of_service = path.parent.name == "service"
        for node in ast.walk(function) if of_service or function.name == "__init__" else ():
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                whose = ast.unparse(node).split(".")[0]
                if whose != "self" and (whose in given or (of_service and whose not in imported)):
                    yield f"{path.relative_to(PACKAGE)}: {function.name}: {ast.unparse(node)}"


def test_what_parts_call_is_set_in_one_place() -> None:
    """Who calls whom is read from `build` and `_connect` in service/build.py."""
    lines = [line for path in FILES for line in foreign_attributes_of(path)]
    assert [line for line in lines if not line.startswith("service/build.py: _connect:")] == []


def test_no_docstring_begins_with_a_type_in_place_of_a_verb() -> None:
    """A search and replace that meets a word in a text makes "TakeMessage these subjects" of "Take these subjects"."""
    docs = [
        ast.get_docstring(node) or ""
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    ]
    assert [doc for doc in docs if re.match(r"[A-Z][a-z]+[A-Z]\w* (the|these|this|a|an|all|its)\b", doc)] == []


def test_no_test_module_imports_another_one() -> None:
    tests = Path(__file__).parent
    imports = {
        f"{path.relative_to(tests)}: {node.module}"
        for path in tests.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests.")
        if (node.module or "").rpartition(".")[2].startswith("test_")
    }
    assert imports == set()
