"""NNCF's environment and its program: what goes wrong is said in words, without NNCF being there."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from appliance.errors import ModelError
from appliance.quantize import nncf_environment

PACKAGE = Path(nncf_environment.__file__).parent.parent


def python_that(tmp_path: Path, program: str) -> Path:
    """A stand-in for the environment's Python, that runs this instead of what it is given."""
    (tmp_path / "program.py").write_text(program)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path / "program.py"} "$@"\n')
    python.chmod(0o755)
    return python


def test_the_program_knows_nothing_of_the_appliance_and_nothing_imports_it() -> None:
    program = ast.parse(nncf_environment.WORKER.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(program) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(program) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} - sys.stdlib_module_names == {"nncf", "numpy", "openvino"}
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import nncf_worker" not in text
        assert "nncf_worker import" not in text


def test_each_set_of_versions_has_its_own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = nncf_environment.folder()
    assert place.is_relative_to(tmp_path)
    assert f"nncf-{nncf_environment.NNCF}" in place.name
    assert not nncf_environment.ready(place)


def test_an_environment_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    (tmp_path / "made-of.txt").write_text("\n".join(nncf_environment.requirements()))
    said: list[str] = []
    assert nncf_environment.ensure(tmp_path, said.append) == tmp_path / "bin" / "python"
    assert said == []


def test_without_an_index_the_step_is_named_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    said: list[str] = []
    with pytest.raises(ModelError, match=r"pip install.* failed: .*pip config set") as caught:
        nncf_environment.ensure(tmp_path / "new", said.append)
    assert caught.value.code == "quantize_failed"
    assert "530 MB" in said[0]
    assert not nncf_environment.ready(tmp_path / "new")


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="XDG_CACHE_HOME"):
        nncf_environment.ensure(tmp_path / "file" / "new", lambda _: None)


def test_the_program_answers_line_by_line(tmp_path: Path) -> None:
    python = python_that(
        tmp_path,
        "import json, sys\n"
        "print(json.dumps({'operations': [['a', 'Add']]}), flush=True)\n"
        "for line in sys.stdin: print(json.dumps({'output': json.loads(line)['output']}), flush=True)\n",
    )
    with nncf_environment.start(python, tmp_path / "model.xml", tmp_path) as worker:
        assert worker.operations == [("a", "Add")]
        assert worker.quantize(["a"], tmp_path / "out.xml") == tmp_path / "out.xml"
        assert worker.quantize([], tmp_path / "two.xml") == tmp_path / "two.xml"


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("raise SystemExit('no such layer')", "NNCF failed: no such layer"),
        ("import os; os.kill(os.getpid(), 9)", "not enough memory"),
    ],
)
def test_a_program_that_fails_says_why(tmp_path: Path, program: str, told: str) -> None:
    with (
        pytest.raises(ModelError, match=told) as caught,
        nncf_environment.start(python_that(tmp_path, program), tmp_path / "model.xml", tmp_path),
    ):
        pass
    assert caught.value.code == "quantize_failed"
