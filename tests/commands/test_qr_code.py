"""The QR code on the console contains the URL above it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance import cli
from appliance.cli.address import token_in
from appliance.commands import qr_code
from appliance.service import addresses

_PIXELS = {"█": (255, 255), "▀": (255, 0), "▄": (0, 255), " ": (0, 0)}


@pytest.mark.parametrize("address", ["http://192.168.1.20:8080/", "http://[fd12:3456:789a:1::17]:8080/"])
def test_the_qr_code_on_the_screen_can_be_decoded(address: str) -> None:
    lines = qr_code.urls_with_qr_code([address, "http://10.0.0.1:8080/"]).splitlines()
    assert lines[0] == f"Appliance: {address} or http://10.0.0.1:8080/"
    rows = [[_PIXELS[sign][half] for sign in line] for line in lines[1:] for half in (0, 1)]
    screen = np.kron(np.array(rows, np.uint8), np.ones((8, 8), np.uint8))
    read, *_ = cv2.QRCodeDetector().detectAndDecode(screen)
    assert read == address


def test_the_qr_code_signs_in_while_the_first_token_is_unused() -> None:
    shown = qr_code.urls_with_qr_code(["https://10.0.0.1:8080/#sha256=abc"], token="edge_first")
    assert "Operator's token, until it is used: edge_first" in shown.splitlines()
    assert qr_code.qr_code("https://10.0.0.1:8080/#token=edge_first") == shown.splitlines()[2:]


def test_a_console_shows_no_token_that_could_be_anything_else(tmp_path: Path) -> None:
    file = tmp_path / "token"
    assert token_in(None) == token_in(file) == ""
    file.write_text("edge_0123456789abcdef_x\n")
    assert token_in(file) == "edge_0123456789abcdef_x"
    for other in ("\\e[2J" + "x" * 20, "short", "x" * 201, "näh" * 10):
        file.write_text(other)
        assert token_in(file) == ""


def test_a_service_on_loopback_has_no_url_for_other_machines() -> None:
    assert addresses.addresses_from_outside("127.0.0.1", 8080) == []
    assert addresses.addresses_from_outside("192.168.1.20", 80) == ["http://192.168.1.20:80/"]


def test_a_device_without_an_address_says_on_its_console_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["address", "--qr", "--set", "server.host=127.0.0.1"]) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("Appliance: no network address. Check the network cable or the Wi-Fi")
    assert shown.err == "", "it would be a line in the journal every 30 s"
