"""The protocol with NNCF's program and its errors, tested without NNCF."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from appliance.errors import ModelError
from appliance.workshop.quantize import nncf_process
from tests.workshop.fakes import python_that

PACKAGE = Path(nncf_process.__file__).parent.parent


def test_the_program_is_independent_of_the_package() -> None:
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
    ("program", "reason"),
    [
        ("raise SystemExit('no such layer')", "NNCF failed: no such layer"),
        ("import os; os.kill(os.getpid(), 9)", "not enough memory"),
        ("print('not JSON')", "NNCF failed: it ended without a result"),
        ("import sys; print('bye', file=sys.stderr)", "NNCF failed: it ended without a result; last message: bye"),
    ],
)
def test_a_failing_program_is_reported(tmp_path: Path, program: str, reason: str) -> None:
    with (
        pytest.raises(ModelError, match=reason) as caught,
        nncf_process.start(python_that(tmp_path, program), tmp_path / "model.xml", tmp_path),
    ):
        pass
    assert caught.value.code == "quantize_failed"
