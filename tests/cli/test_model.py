"""`appliance model …`: what is printed, and the exit codes that scripts count on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from appliance import cli
from appliance.models import active
from tests.models import networks
from tests.models.bundles import export_folder, make_bundles

pytestmark = pytest.mark.usefixtures("own_logging")


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    """A folder with the models `first` and `second`, that find colours."""
    return make_bundles(tmp_path / "models", "first", "second")


def run(models_dir: Path, *arguments: str) -> int:
    settings = [f"model.dir={models_dir}", "model.name=first"]
    return cli.main(["model", *arguments, *(word for item in settings for word in ("--set", item))])


def test_the_one_in_use_has_a_star_and_an_activation_is_said(
    models_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(models_dir, "list") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert (first[0], second[0]) == ("*", " ")
    active.activate(models_dir, "second", "first")
    assert run(models_dir, "list") == 0
    first, second, said = capsys.readouterr().out.splitlines()
    assert (first[0], second[0]) == (" ", "*")
    assert said == '  second was activated in place of first (model.name = "first")'


def test_activating_tries_the_model_and_says_what_came_of_it(
    models_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(models_dir, "activate", "second") == 0
    tried, told = capsys.readouterr().out.splitlines()
    assert tried.startswith("  second works: ")
    assert tried.endswith("100 % alike on 1 pictures")
    assert told == "second is used from the next start of the service on"
    assert active.read(models_dir, "first").name == "second"
    assert run(models_dir, "rollback") == 0
    assert active.read(models_dir, "first").name == "first"
    assert run(models_dir, "rollback") == 1
    assert "cannot roll back: no model was active before" in capsys.readouterr().err


def test_a_model_that_does_not_work_is_not_activated(models_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (models_dir / "second" / "model.bin").write_bytes(b"damage")
    assert run(models_dir, "activate", "second") == 3
    assert run(models_dir, "activate", "secnod") == 3
    damaged, unknown = capsys.readouterr().err.splitlines()
    assert "is damaged" in damaged
    assert "did you mean 'second'?" in unknown
    assert active.read(models_dir, "first").name == "first"


def test_a_broken_model_in_use_does_not_keep_a_good_one_out(
    models_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (models_dir / "first" / "model.bin").unlink()
    assert run(models_dir, "activate", "second") == 0
    assert "first, which is in use, does not work" in capsys.readouterr().out


def test_verify_says_of_each_whether_it_is_whole(models_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(models_dir, "verify") == 0
    (models_dir / "second" / "model.xml").write_bytes(b"<net/>")
    assert run(models_dir, "verify") == 3
    assert run(models_dir, "verify", "first") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:9] for line in lines] == ["✓ first: ", "✓ second:", "✓ first: ", "✗ second:", "✓ first: "]


def test_a_folder_of_yolo_export_is_imported_and_removed_again(
    models_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = export_folder(tmp_path / "gate")
    archive = shutil.make_archive(str(tmp_path / "gate-2"), "gztar", export)
    assert run(models_dir, "import", str(export)) == 0
    assert run(models_dir, "import", archive) == 0
    assert run(models_dir, "import", str(export)) == 3
    assert run(models_dir, "remove", "gate-2") == 0
    assert run(models_dir, "remove", "first") == 1
    assert run(models_dir, "remove", "nobody") == 3
    assert sorted(path.name for path in models_dir.iterdir()) == ["first", "gate", "second"]
    assert "appliance model activate gate" in capsys.readouterr().out


def test_an_onnx_file_that_says_how_it_is_read_is_imported_as_it_is(
    models_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "colours.onnx").write_bytes(networks.colours())
    assert run(models_dir, "import", str(tmp_path / "colours.onnx")) == 0
    assert "colours: detect, 3 classes" in capsys.readouterr().out
    assert (models_dir / "colours" / "model.onnx").exists()


def test_a_network_is_imported_with_its_head_and_its_classes(
    models_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = tmp_path / "names.txt"
    names.write_text("one\n\ntwo\nthree\n")
    silent = tmp_path / "silent.onnx"
    silent.write_bytes(networks.colours(names=""))
    assert run(models_dir, "import", str(silent)) == 3
    assert "declare its head with --head" in capsys.readouterr().err
    assert run(models_dir, "import", str(silent), "--head", "anchors") == 3
    assert "has 3 classes, but 80 names are declared" in capsys.readouterr().err
    assert run(models_dir, "import", str(silent), "--head", "anchors", "--classes", str(names)) == 0
    assert "silent: detect, 3 classes" in capsys.readouterr().out
    assert run(models_dir, "import", str(silent), "--classes", str(names)) == 3
    assert "--classes goes with --head" in capsys.readouterr().err


def test_who_may_not_write_the_models_is_told_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    nobody_may = "model.dir=/sys/models"  # not even root
    assert cli.main(["model", "fetch", "--set", nobody_may]) == 1
    assert capsys.readouterr().err == "appliance: /sys/models may not be changed by you; use sudo\n"


def test_what_cannot_be_fetched_is_answered_with_what_can(models_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(models_dir, "fetch", "--permissive", "yolox") == 3
    assert "available: ssd-mobilenet-v3, efficientdet-lite0" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\nappliance: forged", os.fsdecode(b"a\xff")])
def test_a_folder_cannot_write_to_the_terminal_by_its_name(
    models_dir: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (models_dir / name).mkdir()
    assert run(models_dir, "list") == 0
    assert run(models_dir, "verify", "b" + name) == 3
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert all(line.isprintable() for line in (out + err).splitlines())
