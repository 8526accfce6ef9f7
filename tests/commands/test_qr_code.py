"""The QR code on the console contains the URL above it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

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


def test_a_service_on_loopback_has_no_url_for_other_machines() -> None:
    assert addresses.addresses_from_outside("127.0.0.1", 8080) == []
    assert addresses.addresses_from_outside("192.168.1.20", 80) == ["http://192.168.1.20:80/"]
