"""`appliance token` and `appliance audit`, with a running service and without one."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from pathlib import Path

import pytest

from appliance import cli
from tests.conftest import Serve


@pytest.fixture(autouse=True)
def own_control_socket(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that other tests share may be running."""
    monkeypatch.setenv("APPLIANCE_CONTROL", str(tmp_path_factory.mktemp("c") / "control.sock"))


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = cli.main(list(arguments))
    out, err = capsys.readouterr()
    return status, out + err


def test_without_a_service_the_file_is_changed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    there = ("--set", f"state.dir={tmp_path}")
    assert printed(capsys, "token", "list", *there)[1].startswith("No tokens.")
    status, text = printed(capsys, "token", "add", "gate", "--role", "camera", "--qr", *there)
    assert status == 0
    first = re.search(r"edge_\w+", text)
    assert first is not None
    assert "▄" in text  # the QR code
    kept = json.loads((tmp_path / "tokens.json").read_text())
    assert [one["name"] for one in kept["tokens"]] == ["gate"]
    assert stat.S_IMODE((tmp_path / "tokens.json").stat().st_mode) == 0o600
    assert re.search(r"camera +\d{4}-\d\d-\d\d  gate", printed(capsys, "token", "list", *there)[1])
    second = re.search(r"edge_\w+", printed(capsys, "token", "rotate", "gate", *there)[1])
    assert second is not None
    assert second[0] != first[0]
    assert printed(capsys, "token", "revoke", "gate", *there)[0] == 0
    status, text = printed(capsys, "token", "revoke", "gate", *there)
    assert (status, "no token is named 'gate'" in text) == (1, True)


async def test_with_a_service_changes_hold_at_once_and_are_audited(
    serve: Serve, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async with serve(state__dir=str(tmp_path)) as running:
        entrance = running.started.parts.entrance
        _, text = await asyncio.to_thread(printed, capsys, "token", "add", "anna", "--role", "operator")
        token = re.search(r"edge_\w+", text)
        assert token is not None
        assert entrance.tokens.match(token[0]) is not None
        entrance.pairings.ask("yard", "y" * 40, "192.168.1.5")
        _, text = await asyncio.to_thread(printed, capsys, "token", "list")
        assert re.search(r"waits for approval with the code \d{3} \d{3}, from 192.168.1.5: yard", text)
        assert (await asyncio.to_thread(printed, capsys, "token", "approve", "yard"))[0] == 0
        assert entrance.tokens.match("y" * 40) is not None
        assert (await asyncio.to_thread(printed, capsys, "token", "approve", "yard"))[0] == 1
        assert (await asyncio.to_thread(printed, capsys, "token", "revoke", "anna"))[0] == 0
        assert entrance.tokens.match(token[0]) is None
        _, text = await asyncio.to_thread(printed, capsys, "audit")
        lines = text.splitlines()
        assert "token_revoke name=anna" in lines[0]
        assert "pairing_approve (failed) name=yard code=pairing_unknown" in lines[1]
        assert token[0] not in text
