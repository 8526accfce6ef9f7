"""The support bundle: complete, small, without secrets, readable without a network."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from appliance import cli
from appliance.commands.support_bundle import collect, pack, secrets
from appliance.control.client import Control
from appliance.settings import loader
from appliance.settings.secrets import secrets_of
from tests.conftest import Serve

pytestmark = pytest.mark.usefixtures("own_logging")

PLANTED = {
    "server.viewer_token": "viewer-s3cret-1",
    "server.api_key": "apikey-s3cret-2",
    "camera.source": "rtsp://root:source-s3cret-3@10.0.0.8/live",
    "camera.to": "http://user:address-s3cret-4@10.0.0.9:8080",
}
IN_THE_JOURNAL = """
gate: rtsp://admin:journal-s3cret-5@10.0.0.7:554/stream1 does not answer
yard: rtsp://admin:with@sign-s3cret-11@10.0.0.6/stream1 does not answer
replace the token: `appliance token rotate NAME`.
wpa_supplicant: psk=wifi-s3cret-6
GET /v1/vision?api_key=query-s3cret-7 and Authorization: Bearer bearer-s3cret-8
-----BEGIN EC PRIVATE KEY-----
key-s3cret-9
-----END EC PRIVATE KEY-----
camera 'gate' sent the token camera-s3cret-10
POST https://hooks.slack.com/services/T00/B00/hook-s3cret-12 failed: /services/T00/B00/hook-s3cret-12 is unknown
"""


def opened(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(archive))) as tar:
        files = {member.name.partition("/")[2]: tar.extractfile(member) for member in tar.getmembers()}
        return {name: file.read() for name, file in files.items() if file is not None}


def test_no_planted_secret_is_in_any_file(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text(
        '[cameras.gate]\ntoken = "camera-s3cret-10"\n'
        '[webhooks.chat]\nurl = "https://hooks.slack.com/services/T00/B00/hook-s3cret-12"\n'
    )
    settings = loader.load(file, {}, PLANTED)
    files = collect.collect(settings, Control([tmp_path / "nobody"]).report)
    files["journal.txt"] = IN_THE_JOURNAL.encode()
    files["log.txt"] = IN_THE_JOURNAL.encode()
    files["audit.json"] = json.dumps([{"token": "camera-s3cret-10", "note": IN_THE_JOURNAL}]).encode()
    packed = opened(pack.pack(files, "support", set(secrets_of(settings)), 1.8e9))
    assert {"index.html", "settings.toml", "doctor.txt", "board.txt", "versions.txt", "journal.txt"} <= set(packed)
    for name, content in packed.items():
        assert not re.findall(rb"[a-z]+-s3cret-\d+", content), name
    assert b"10.0.0.7:554/stream1 does not answer" in packed["journal.txt"]
    assert b"://(removed)@10.0.0.6/stream1 does not answer" in packed["journal.txt"]
    assert b"replace the token: `appliance token rotate NAME`." in packed["journal.txt"], "advice is no secret"
    assert b'\napi_key = "(set)"\n' in packed["settings.toml"]


async def test_a_running_service_contributes_its_reports(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import anyio

    socket = tmp_path / "run" / "control.sock"
    monkeypatch.setenv("APPLIANCE_CONTROL", str(socket))
    out = tmp_path / "bundle.tar.gz"
    async with serve():
        assert await anyio.to_thread.run_sync(lambda: cli.main(["support-bundle", "--out", str(out)])) == 0
    assert out.stat().st_size < pack.MOST_BYTES
    files = opened(out.read_bytes())
    assert json.loads(files["health.json"])["status"]
    assert json.loads(files["history-day.json"])["schema"] == 1
    assert "[server]" in files["settings.toml"].decode()
    page = files["index.html"].decode()
    assert not re.search(r'(?:src|href)="(?!#|data:)', page)
    assert "bundle.tar.gz" in capsys.readouterr().out


def test_a_long_journal_is_cut_to_its_newest_lines() -> None:
    import random

    lines = "".join(f"{random.Random(n).random()} line {n}\n" for n in range(200_000)).encode()
    archive = pack.pack({"journal.txt": lines, "log.txt": lines}, "support", (), 0.0)
    assert len(archive) < pack.MOST_BYTES
    assert opened(archive)["journal.txt"].endswith(b"line 199999\n")


def test_an_unreachable_service_is_said_in_the_file(tmp_path: Path) -> None:
    files = collect.collect(loader.load(), Control([tmp_path / "nobody"]).report)
    assert files["health.json"].startswith(b"not available: No running service")


def test_with_invalid_settings_there_is_a_bundle_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPLIANCE_CONTROL", str(tmp_path / "nobody"))
    file, out = tmp_path / "appliance.toml", tmp_path / "bundle.tar.gz"
    file.write_text(
        '[flow]\nbrust = 3\n[cameras.gate]\ntoken = "camera-s3cret-10"\n[mqtt]\npassword = "mqtt-s3cret-11"\n'
    )
    assert cli.main(["support-bundle", "--config", str(file), "--out", str(out)]) == 0
    files = opened(out.read_bytes())
    assert b"unknown key 'flow.brust'; did you mean 'burst'?" in files["settings-problem.txt"]
    assert not [name for name, content in files.items() if re.search(rb"[a-z]+-s3cret-\d+", content)]
    assert loader.secrets_in(file, {}, {}) == {"camera-s3cret-10", "mqtt-s3cret-11"}


@pytest.mark.parametrize("text", ["a", ":", "a:", "a://", "a://b:", "a://b:c@", "-----BEGIN A", "token ", "token="])
def test_the_secrets_of_a_long_line_are_searched_in_one_pass(text: str) -> None:
    """Cameras and brokers write into the journal too. For a word of 16,000 letters, the search took 2 to 4 s."""
    count = 300_000 // len(text)
    code = f"from appliance.commands.support_bundle.secrets import remove; remove('x://' + {text!r} * {count}, ())"
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("rtsp://admin:a-secret@cam/1", "rtsp://(removed)@cam/1"),
        ("HTTP://a:b@c@host, next", "HTTP://(removed)@host, next"),
        ("http://host/?u=rtsp://a:b@cam", "http://host/?u=rtsp://(removed)@cam"),
        ("rtsp://a:x/y:z@cam", "rtsp://(removed)@cam"),
        ("rtsp://admin@cam:554/1 and mail@host", "rtsp://admin@cam:554/1 and mail@host"),
        ("http://host:80/a 'b@c'", "http://host:80/a 'b@c'"),
    ],
)
def test_a_password_in_an_address_is_removed(text: str, left: str) -> None:
    assert secrets.remove(text, ()) == left
