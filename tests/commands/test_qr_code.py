"""The code on the console says what its text says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from appliance.commands import qr_code
from appliance.service import addresses

_PIXELS = {"█": (255, 255), "▀": (255, 0), "▄": (0, 255), " ": (0, 0)}


@pytest.mark.parametrize("address", ["http://192.168.1.20:8080/", "http://[fd12:3456:789a:1::17]:8080/"])
def test_a_camera_reads_the_address_from_the_screen(address: str) -> None:
    lines = qr_code.signboard([address, "http://10.0.0.1:8080/"]).splitlines()
    assert lines[0] == f"Appliance: {address} or http://10.0.0.1:8080/"
    rows = [[_PIXELS[sign][half] for sign in line] for line in lines[1:] for half in (0, 1)]
    screen = np.kron(np.array(rows, np.uint8), np.ones((8, 8), np.uint8))
    read, *_ = cv2.QRCodeDetector().detectAndDecode(screen)
    assert read == address


def test_a_box_that_listens_to_itself_alone_has_no_address_for_others() -> None:
    assert addresses.addresses_from_outside("127.0.0.1", 8080) == []
    assert addresses.addresses_from_outside("192.168.1.20", 80) == ["http://192.168.1.20:80/"]
