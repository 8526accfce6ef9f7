"""How every command ends when its output cannot be written, when nothing runs, and when a source does not exist.

The commands are read from the parser: a new one is tested here without an entry.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.cli import _parser, main
from appliance.cli.plain_text import replace_unprintable
from tests.conftest import ROOT

FULL = Path("/dev/full")
REPORTS = (
    ("board",), ("board", "--toml"), ("config", "show"), ("config", "check"), ("model", "list"), ("address",),
)  # fmt: skip
"""Commands that print without a running service."""
ASKING = (
    ("audit",), ("cameras", "list"), ("config", "show", "--running"), ("governor", "show"), ("health",), ("drain",),
)  # fmt: skip
"""Commands that ask the running service."""


def leaves(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    groups = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    if not groups:
        yield path
    for group in groups:
        for name, inner in group.choices.items():
            yield from leaves(inner, (*path, name))


LEAVES = tuple(leaves(_parser()))


def run(*arguments: str, redirect: str = "", folder: Path) -> tuple[int, str]:
    """Exit code and standard error of a command in a shell."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("APPLIANCE_")}
    command = f'"{sys.executable}" -m appliance "$@" {redirect}; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", command, "bash", *arguments],
        capture_output=True, text=True, cwd=ROOT, timeout=60,
        env=environment | {"APPLIANCE_CONTROL": str(folder / "control.sock"), "APPLIANCE_CONFIG": os.devnull},
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize("leaf", LEAVES, ids=" ".join)
def test_the_help_of_every_command_ends_quietly_when_nobody_reads_it(
    leaf: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as nobody:
        monkeypatch.setattr(sys, "stdout", nobody)
        assert main([*leaf, "--help"]) == 0
        assert capfd.readouterr().err == ""


@pytest.mark.parametrize("leaf", LEAVES, ids=" ".join)
@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
def test_the_help_of_every_command_ends_with_one_line_on_a_full_disk(
    leaf: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with FULL.open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main([*leaf, "--help"]) == 1
        assert capfd.readouterr().err == "appliance: cannot write the output: No space left on device\n"


@pytest.mark.parametrize("arguments", ASKING, ids=" ".join)
def test_a_command_for_the_running_service_ends_with_one_line_when_nothing_runs(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APPLIANCE_CONTROL", str(tmp_path / "control.sock"))
    monkeypatch.setenv("APPLIANCE_CONFIG", os.devnull)
    where = ("--to", "http://127.0.0.1:9") if arguments == ("health",) else ()
    assert main([*arguments, *where]) == 1
    error = capsys.readouterr().err
    assert error.startswith("appliance: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_report_is_printed_in_every_locale(
    encoding: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APPLIANCE_CONFIG", os.devnull)
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding=encoding))
    assert main(["config", "show"]) == 0
    assert printed.getvalue().decode(encoding).count("critical_temp_c = ") == 1
    assert "Traceback" not in capsys.readouterr().err


def test_marks_stay_distinct_where_they_cannot_be_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="ascii"))
    replace_unprintable()
    print("✓ ✗ 61 °C … 世 \udcff", flush=True)
    assert printed.getvalue() == b"ok FAIL 61 C ... ? ?\n"


@pytest.mark.parametrize("redirect", ["| head -c 1 >/dev/null", ">/dev/full", ">&-"])
def test_reports_end_with_at_most_one_line_in_a_shell(redirect: str, tmp_path: Path) -> None:
    code, error = run("board", redirect=redirect, folder=tmp_path)
    assert (code, error.count("\n")) == ((1, 1) if "full" in redirect else (0, 0)), error


@pytest.mark.parametrize("arguments", REPORTS, ids=" ".join)
def test_every_report_ends_with_one_line_on_a_full_disk(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APPLIANCE_CONFIG", os.devnull)
    with FULL.open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main([*arguments]) == 1
    error = capfd.readouterr().err
    assert "cannot write the output: No space left on device" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "arguments",
    [
        ("detect", "no-such.jpg"),
        ("detect", "/no such folder/"),
        ("camera", "--source", "no-such.mp4", "--to", "http://x"),
    ],
    ids=" ".join,
)
def test_a_source_that_does_not_exist_ends_with_one_line(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments]) in (1, 2)
    error = capsys.readouterr().err
    assert "no-such" in error or "no such" in error
    assert "Traceback" not in error


def test_a_file_that_may_not_be_written_ends_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["support-bundle", "--out", "/proc/no/bundle.tar.gz"]) == 1
    error = capsys.readouterr().err
    assert "/proc/no" in error
    assert "Traceback" not in error
