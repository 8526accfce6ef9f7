"""`appliance model …`: its output, and the exit codes that scripts rely on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from appliance import cli
from appliance.models import active
from tests.models import networks
from tests.models.bundles import export_folder


def run(two_models: Path, *arguments: str) -> int:
    settings = [f"model.dir={two_models}", "model.name=first"]
    return cli.main(["model", *arguments, *(word for item in settings for word in ("--set", item))])


def test_the_list_marks_the_model_in_use_and_names_an_activation(
    two_models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(two_models, "list") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert (first[0], second[0]) == ("*", " ")
    active.activate(two_models, "second", "first")
    assert run(two_models, "list") == 0
    first, second, note = capsys.readouterr().out.splitlines()
    assert (first[0], second[0]) == (" ", "*")
    assert note == '  second was activated and replaces first (model.name = "first")'


def test_an_activation_tries_the_model_and_prints_the_result(
    two_models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(two_models, "activate", "second") == 0
    tried, when = capsys.readouterr().out.splitlines()
    assert tried.startswith("  second works: ")
    assert tried.endswith("; 100 % similarity on 1 picture")
    assert when == "second will be used when the service starts"
    assert active.read(two_models, "first").name == "second"
    assert run(two_models, "rollback") == 0
    assert active.read(two_models, "first").name == "first"
    assert run(two_models, "rollback") == 1
    assert "cannot roll back: no model was active before" in capsys.readouterr().err


def test_a_broken_or_unknown_model_is_not_activated(two_models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (two_models / "second" / "model.bin").write_bytes(b"damage")
    assert run(two_models, "activate", "second") == 3
    assert run(two_models, "activate", "secnod") == 3
    damaged, unknown = capsys.readouterr().err.splitlines()
    assert "is damaged" in damaged
    assert "did you mean 'second'?" in unknown
    assert active.read(two_models, "first").name == "first"


def test_a_broken_model_in_use_can_be_replaced(two_models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (two_models / "first" / "model.bin").unlink()
    assert run(two_models, "activate", "second") == 0
    assert "the model in use, first, does not work" in capsys.readouterr().out


def test_verify_reports_each_model(two_models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(two_models, "verify") == 0
    (two_models / "second" / "model.xml").write_bytes(b"<net/>")
    assert run(two_models, "verify") == 3
    assert run(two_models, "verify", "first") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:9] for line in lines] == ["✓ first: ", "✓ second:", "✓ first: ", "✗ second:", "✓ first: "]


def test_a_folder_from_yolo_export_can_be_imported_and_removed(
    two_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = export_folder(tmp_path / "gate")
    archive = shutil.make_archive(str(tmp_path / "gate-2"), "gztar", export)
    assert run(two_models, "import", str(export)) == 0
    assert run(two_models, "import", archive) == 0
    assert run(two_models, "import", str(export)) == 3
    assert run(two_models, "remove", "gate-2") == 0
    assert run(two_models, "remove", "first") == 1
    assert run(two_models, "remove", "nobody") == 3
    assert sorted(path.name for path in two_models.iterdir()) == ["first", "gate", "second"]
    assert "appliance model activate gate" in capsys.readouterr().out


def test_an_onnx_file_with_metadata_is_imported_unchanged(
    two_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "colours.onnx").write_bytes(networks.colours())
    assert run(two_models, "import", str(tmp_path / "colours.onnx")) == 0
    assert "colours installed: detect, 3 classes" in capsys.readouterr().out
    assert (two_models / "colours" / "model.onnx").exists()


def test_a_network_without_metadata_is_imported_with_head_and_classes(
    two_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = tmp_path / "names.txt"
    names.write_text("one\n\ntwo\nthree\n")
    silent = tmp_path / "silent.onnx"
    silent.write_bytes(networks.colours(names=""))
    assert run(two_models, "import", str(silent)) == 3
    assert "declare its head with --head" in capsys.readouterr().err
    assert run(two_models, "import", str(silent), "--head", "anchors") == 3
    assert "has 3 classes, but 80 names are declared" in capsys.readouterr().err
    assert run(two_models, "import", str(silent), "--head", "anchors", "--classes", str(names)) == 0
    assert "silent installed: detect, 3 classes" in capsys.readouterr().out
    assert run(two_models, "import", str(silent), "--classes", str(names)) == 3
    assert "--classes needs --head" in capsys.readouterr().err


def test_missing_write_permission_is_a_one_line_error(capsys: pytest.CaptureFixture[str]) -> None:
    unwritable = "model.dir=/sys/models"  # not even root
    assert cli.main(["model", "fetch", "--set", unwritable]) == 1
    assert capsys.readouterr().err == "appliance: /sys/models: permission denied; use sudo\n"


def test_fetching_an_unknown_model_names_the_known_ones(two_models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(two_models, "fetch", "--permissive", "yolox") == 3
    line = capsys.readouterr().err
    assert line.endswith("available: ssd-mobilenet-v3, efficientdet-lite0\n")  # fetching the default would not help


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\nappliance: forged", os.fsdecode(b"a\xff")])
def test_control_characters_in_a_folder_name_are_escaped(
    two_models: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (two_models / name).mkdir()
    assert run(two_models, "list") == 0
    assert run(two_models, "verify", "b" + name) == 3
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert all(line.isprintable() for line in (out + err).splitlines())
