"""NNCF's program: what goes wrong is said in words, without NNCF being there."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from appliance.errors import ModelError
from appliance.workshop.quantize import nncf_process

PACKAGE = Path(nncf_process.__file__).parent.parent


def python_that(tmp_path: Path, program: str) -> Path:
    """A stand-in for the environment's Python, that runs this instead of what it is given."""
    (tmp_path / "program.py").write_text(program)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path / "program.py"} "$@"\n')
    python.chmod(0o755)
    return python


def test_the_program_knows_nothing_of_the_appliance_and_nothing_imports_it() -> None:
    program = ast.parse(nncf_process.WORKER.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(program) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(program) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} - sys.stdlib_module_names == {"nncf", "numpy", "openvino"}
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import nncf_worker" not in text
        assert "nncf_worker import" not in text


def test_the_program_answers_line_by_line(tmp_path: Path) -> None:
    python = python_that(
        tmp_path,
        "import json, sys\n"
        "print(json.dumps({'operations': [['a', 'Add']]}), flush=True)\n"
        "for line in sys.stdin: print(json.dumps({'output': json.loads(line)['output']}), flush=True)\n",
    )
    with nncf_process.start(python, tmp_path / "model.xml", tmp_path) as worker:
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
        nncf_process.start(python_that(tmp_path, program), tmp_path / "model.xml", tmp_path),
    ):
        pass
    assert caught.value.code == "quantize_failed"
