"""The command line: its output, and the exit codes that scripts rely on."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from appliance import __version__, cli, files
from appliance.cli import serve

ROOT = Path(__file__).parent.parent.parent
COMMANDS = [
    "serve",
    "camera",
    "detect",
    "health",
    "support-bundle",
    "bench",
    "tune",
    "doctor",
    "board",
    "address",
    "config",
    "config show",
    "config check",
    "governor",
    "governor show",
    "governor hold",
    "governor release",
    "model",
    "model list",
    "model fetch",
    "model verify",
    "model activate",
    "model rollback",
    "model import",
    "model remove",
    "model export",
    "model quantize",
]


@pytest.fixture
def red(tmp_path: Path) -> Path:
    """A red picture of 640x384 pixels."""
    path = tmp_path / "red.png"
    Image.new("RGB", (640, 384), (230, 10, 20)).save(path)
    return path


def run(*arguments: str) -> int:
    return cli.main(list(arguments))


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_a_help_text(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*command.split(), "--help")
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: appliance {command}".rstrip())
    assert len(out) > 100


@pytest.mark.parametrize("arguments", [[], ["dance"], ["detect"], ["config"], ["serve", "--prot", "80"]], ids=str)
def test_wrong_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 2
    assert "usage: appliance" in capsys.readouterr().err


def test_the_documented_exit_codes_match_the_code() -> None:
    manual = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| ([^|]+?) \|", manual, re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == cli.EXIT_CODES


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("--version")
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"appliance {__version__}\n"


def test_detect_prints_a_table(models_setting: str, red: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("detect", "--set", models_setting, str(red)) == 0
    first, *rows = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{red}  640x384")
    (row,) = rows
    assert row.split() == ["red", "90%", "38", "32", "58", "48"]


def test_detect_reports_a_picture_without_objects(
    models_setting: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (100, 100)).save(tmp_path / "night.jpg")
    assert run("detect", "--set", models_setting, str(tmp_path / "night.jpg")) == 0
    assert "no objects detected" in capsys.readouterr().out


def test_detect_prints_one_json_object_per_picture(
    models_setting: str, red: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("detect", "--set", models_setting, "--json", str(red), str(red)) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 2
    assert lines[0]["file"] == str(red)
    assert lines[0]["image_size"] == {"width": 640, "height": 384}
    (found,) = lines[0]["detections"]
    assert (found["name"], found["class"]) == ("red", 0)
    assert found["box"] == pytest.approx({"x1": 38, "y1": 32, "x2": 58, "y2": 48}, abs=0.1)


def test_detect_saves_the_picture_with_bounding_boxes(models_setting: str, red: Path, tmp_path: Path) -> None:
    saved = tmp_path / "boxes.jpg"
    assert run("detect", "--set", models_setting, "--save", str(saved), str(red)) == 0
    with Image.open(saved) as image:
        pixels = np.asarray(image).astype(int)
    assert pixels.shape == (384, 640, 3)
    differs = np.abs(pixels - (230, 10, 20)).max(axis=2) > 60
    assert differs[20:60, 30:70].any()
    assert not differs[100:, 200:].any()


def test_detect_takes_the_pictures_of_a_folder(
    models_setting: str, red: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "second.png").write_bytes(red.read_bytes())
    assert run("detect", "--json", "--set", models_setting, str(tmp_path)) == 0
    assert [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()] == [
        str(red), str(tmp_path / "second.png"),
    ]  # fmt: skip


def test_a_folder_without_pictures_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("detect", str(tmp_path)) == 1
    assert capsys.readouterr().err == f"appliance: no JPEG, PNG or WebP files in {tmp_path}\n"


def test_a_demo_source_that_does_not_exist_ends_the_service_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("serve", "--port", "0", "--host", "127.0.0.1", "--camera", "/no/such.mp4") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("appliance: /no/such.mp4: no such file, folder or device.")
    assert err.count("\n") == 1


def test_config_check_reports_all_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text("[server]\nport = 70000\n[flow]\nmax_sied = 640\n")
    assert run("config", "check", str(file)) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "line 2: server.port = 70000" in first
    assert "did you mean 'max_side'" in second


def test_save_is_rejected_with_two_pictures(models_setting: str, red: Path, tmp_path: Path) -> None:
    assert run("detect", "--set", models_setting, "--save", str(tmp_path / "out.jpg"), str(red), str(red)) == 2


def test_an_unwritable_save_path_is_reported_in_one_line(
    models_setting: str, red: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("detect", "--set", models_setting, "--save", str(tmp_path / "no" / "where.jpg"), str(red)) == 1
    assert "where.jpg" in capsys.readouterr().err


def test_an_invalid_picture_is_exit_code_1_and_the_others_are_still_processed(
    models_setting: str, red: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, half, missing = tmp_path / "text.jpg", tmp_path / "half.jpg", tmp_path / "missing.jpg"
    text.write_text("not a picture")
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)).save(file, "JPEG")
    half.write_bytes(file.getvalue()[:3000])
    assert run("detect", "--set", models_setting, *map(str, (text, half, missing, red))) == 1
    shown = capsys.readouterr()
    assert "red" in shown.out
    errors = shown.err.splitlines()
    assert len(errors) == 3
    assert all(line.startswith("appliance: ") for line in errors)
    for path, code, line in zip(
        (text, half, missing),
        ("image_unsupported", "image_corrupt", "file_unreadable"),
        errors,
        strict=True,
    ):
        assert str(path) in line
        assert code in line


def test_without_a_model_the_exit_code_is_3(tmp_path: Path, red: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("detect", "--set", f"model.dir={tmp_path}", str(red)) == 3
    line = capsys.readouterr().err
    assert line.startswith("appliance: ")
    assert line.endswith(". Run `appliance model fetch --force`, or set model.name\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "server.prot=80"], "did you mean 'port'?"),
        (["--set", "sever.port=80"], "did you mean 'server'?"),
        (["--set", "server.port"], "write SECTION.KEY=VALUE"),
        (["--set", "server.port=eighty"], "server.port"),
        (["--profile", "prod"], "--profile: choose development, production or realtime"),
        (["--config", "/nowhere/appliance.toml"], "/nowhere/appliance.toml: cannot be read"),
    ],
    ids=str,
)
@pytest.mark.parametrize("command", ["config show", "serve", "doctor", "model list"])
def test_an_invalid_setting_is_exit_code_2(
    command: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*command.split(), *arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert message in line


def test_flags_change_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run("config", "show", "--profile", "realtime", "--set", "flow.burst = 7", "--set", "server.cors_origins=a,b")
        == 0
    )
    out = capsys.readouterr().out
    for line in ('profile = "realtime"', "burst = 7", 'cors_origins = ["a", "b"]'):
        assert line in out.splitlines()


def test_environment_variables_change_the_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPLIANCE_SERVER_PORT", "8123")
    assert run("config", "show") == 0
    assert "port = 8123" in capsys.readouterr().out
    monkeypatch.setenv("APPLIANCE_SERVER_PROT", "8123")
    assert run("config", "show") == 2
    assert "APPLIANCE_SERVER_PROT" in capsys.readouterr().err


def test_config_check_tells_valid_from_invalid_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "appliance.toml"
    path.write_text("[server]\nport = 81\n")
    assert run("config", "check", str(path)) == 0
    assert capsys.readouterr().out == f"{path}: valid\n"
    path.write_text("[server]\nprot = 81\n")
    assert run("config", "check", str(path)) == 2
    assert "did you mean 'port'?" in capsys.readouterr().err


def test_the_output_of_config_show_is_a_valid_settings_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("config", "show") == 0
    path = tmp_path / "shown.toml"
    path.write_text(capsys.readouterr().out)
    assert run("config", "check", str(path)) == 0


def test_models_are_listed(models_setting: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "models" / "broken").mkdir()
    assert run("model", "list", "--set", models_setting) == 0
    broken, good = capsys.readouterr().out.splitlines()
    assert broken.split()[:2] == ["broken", "broken:"]
    assert good.startswith("* yolo11n")
    assert good.endswith("detect, 3 classes, any size, float, AGPL-3.0")
    assert run("model", "list", "--set", models_setting, "--set", "model.name=broken") == 3
    assert run("model", "list", "--set", models_setting, "--set", "model.name=other") == 3
    assert "other is not installed" in capsys.readouterr().out


def test_an_installed_model_is_not_downloaded_again(models_setting: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("model", "fetch", "--set", models_setting) == 0
    assert "yolo11n is installed in" in capsys.readouterr().out


def test_a_port_in_use_is_exit_code_1_with_a_one_line_error(models_setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = ["serve", "--host", "127.0.0.1", "--port", port, "--set", models_setting]
        done = subprocess.run(
            [sys.executable, "-m", "appliance", *arguments],
            cwd=ROOT, env=os.environ | {"APPLIANCE_CONFIG": os.devnull}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert f"127.0.0.1:{port}" in line
    assert "--port" in line


def test_an_error_unrelated_to_the_port_does_not_mention_it(models_setting: str) -> None:
    few_files = ["sh", "-c", 'ulimit -n 4 && exec "$@"', "sh"]
    done = subprocess.run(
        [*few_files, sys.executable, "-m", "appliance", "serve", "--port", "0", "--set", models_setting],
        cwd=ROOT, env=os.environ | {"APPLIANCE_CONFIG": os.devnull}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Too many open files" in done.stderr
    assert "cannot listen" not in done.stderr


def test_a_closed_output_pipe_is_not_an_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "config", "show"],
        cwd=ROOT, env=os.environ | {"APPLIANCE_CONFIG": os.devnull, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    process.wait(30)


def test_health_without_a_service_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APPLIANCE_CONTROL", str(tmp_path / "none.sock"))
    assert run("health") == 1
    assert "No running service" in capsys.readouterr().err
    assert run("health", "--to", "http://127.0.0.1:1") == 1
    assert "no answer from a device" in capsys.readouterr().err
    assert run("health", "--to", "device") == 2


@pytest.mark.parametrize(
    ("url", "answer", "said"),
    [
        (
            "http://127.0.0.1:{port}",
            None,
            "no answer from a device: Connection refused. Check the address and the port",
        ),
        ("http://127.0.0.1:{port}", b"SSH-2.0-OpenSSH_9\r\n", "another program answers there. Check the address"),
        ("http://127.0.0.1:{port}", b"HTTP/1.0 200 OK\r\n\r\n<html>", "another program answers there"),
        ("http://127.0.0.1:{port}", b"HTTP/1.0 200 OK\r\n\r\n[]", "another program answers there"),
        ("http://127.0.0.1:{port}", b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n{}", "another program answers"),
        ("https://127.0.0.1:{port}", b"HTTP/1.0 400 no\r\n\r\n", "no TLS there. Try http:// in place of https://"),
        ("http://my device:80", None, "invalid URL. Write it as https://device:8080"),
        ("http://device:abc", None, "invalid URL. Write it as"),
        ("http://☔:80", None, "invalid URL. Write it as"),
        ("http://", None, "invalid URL. Write it as"),
    ],
)
def test_health_of_another_device_says_in_one_line_what_is_wrong(
    url: str, answer: bytes | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
        if answer is None:
            there.close()
        else:
            threading.Thread(target=_answer, args=(there, answer), daemon=True).start()
        assert run("health", "--to", url.format(port=port)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert "Errno" not in line


def _answer(there: socket.socket, answer: bytes) -> None:
    connection, _ = there.accept()
    with connection, contextlib.suppress(ConnectionError):
        connection.recv(1000)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1000)


@pytest.mark.parametrize("folder_is_closed", [False, True])
def test_a_service_that_may_not_read_its_settings_stays_up_and_says_what_lets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder_is_closed: bool
) -> None:
    """It cannot use sudo. Tests may run as root, which may read every file."""

    def denied(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "read_plain", denied)
    if folder_is_closed:
        monkeypatch.delenv("APPLIANCE_CONFIG", raising=False)
        monkeypatch.setattr(Path, "exists", lambda path: denied() if path.parts[1] == "etc" else os.path.exists(path))
    else:
        monkeypatch.setenv("APPLIANCE_CONFIG", str(tmp_path / "appliance.toml"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    chosen = serve._choose(argparse.Namespace(safe_mode=False))
    assert "Run `sudo chgrp appliance" in str(chosen.problem)
    assert "appliance.toml" in str(chosen.problem)
    assert "Use sudo" not in str(chosen.problem)


def test_bench_rejects_an_unknown_engine_before_it_measures(
    models_setting: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.commands.bench.measure.measure", lambda *_: pytest.fail("it measures"))
    assert run("bench", "--engine", "mnn, onnxruntim", "--set", models_setting) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--engine onnxruntim: must be all, or of" in line
    assert line.endswith("did you mean 'onnxruntime'?")
