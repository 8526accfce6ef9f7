"""The certificate that a device makes for itself."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.tls import certificate, made_here
from appliance.tls.certificate import CertificateError, CertificateFacts

DAY_S = 86_400.0
DATE, EC_KEY = b"\x17\x0d", bytes.fromhex("2a8648ce3d0201")
"""How a date (UTCTime) begins in DER, and the algorithm of the key."""


def read(folder: Path) -> CertificateFacts:
    files = made_here.files_in(folder)
    return certificate.read(files.certificate, files.key)


def with_bit_changed(pem: str, part: bytes) -> str:
    """A PEM file in which one bit of this part of its content is another."""
    begin, *lines, end = pem.split("\n")[:-1]
    content = bytearray(base64.b64decode("".join(lines)))
    content[content.index(part)] ^= 1
    return "\n".join((begin, base64.b64encode(content).decode(), end, ""))


def test_it_is_made_once_and_only_its_owner_can_read_the_key(tmp_path: Path) -> None:
    made_here.ensure(tmp_path / "tls", time.time())
    first = read(tmp_path / "tls")
    made_here.ensure(tmp_path / "tls", time.time())
    assert read(tmp_path / "tls") == first
    assert made_here.files_in(tmp_path / "tls").key.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o700


def test_renewal_keeps_the_key_so_that_pins_stay_valid(tmp_path: Path) -> None:
    made_here.ensure(tmp_path, time.time())
    first = read(tmp_path)
    made_here.ensure(tmp_path, first.not_after_s - 30 * DAY_S)
    second = read(tmp_path)
    assert second.key_pin == first.key_pin
    assert second.fingerprint != first.fingerprint
    assert second.not_after_s > first.not_after_s


def test_a_clock_that_says_1970_makes_a_certificate_that_is_valid_today(tmp_path: Path) -> None:
    made_here.ensure(tmp_path, 60.0)
    facts = read(tmp_path)
    assert facts.not_before_s < made_here.EARLIEST_S < facts.not_after_s
    assert not made_here.is_due(facts, 60.0)


def test_a_clock_that_jumps_to_1970_changes_nothing(tmp_path: Path) -> None:
    made_here.ensure(tmp_path, time.time())
    before = read(tmp_path)
    made_here.ensure(tmp_path, 60.0)
    assert read(tmp_path) == before


def test_browsers_of_apple_accept_its_lifetime(tmp_path: Path) -> None:
    made_here.ensure(tmp_path, time.time())
    facts = read(tmp_path)
    assert facts.not_after_s - facts.not_before_s <= 825 * DAY_S


@pytest.mark.parametrize("damage", [lambda text: "damaged", lambda text: with_bit_changed(text, DATE)])
def test_a_damaged_certificate_is_made_again_with_the_same_key(tmp_path: Path, damage: Callable[[str], str]) -> None:
    files = made_here.ensure(tmp_path, time.time())
    first = read(tmp_path)
    files.certificate.write_text(damage(files.certificate.read_text()))
    made_here.ensure(tmp_path, time.time())
    assert read(tmp_path).key_pin == first.key_pin


@pytest.mark.parametrize("damage", [lambda text: "damaged", lambda text: with_bit_changed(text, EC_KEY)])
def test_a_damaged_key_is_replaced(tmp_path: Path, damage: Callable[[str], str]) -> None:
    files = made_here.ensure(tmp_path, time.time())
    first = read(tmp_path)
    files.key.write_text(damage(files.key.read_text()))
    made_here.ensure(tmp_path, time.time())
    assert read(tmp_path).key_pin != first.key_pin


@pytest.mark.parametrize("name", ["certificate.pem", "key.pem"])
def test_a_pipe_in_the_place_of_a_file_is_replaced(tmp_path: Path, name: str) -> None:
    made_here.ensure(tmp_path, time.time())
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    made_here.ensure(tmp_path, time.time())
    assert (tmp_path / name).is_file()
    assert read(tmp_path).fingerprint


def test_a_folder_that_cannot_be_written_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CertificateError, match=r"cannot make a certificate in .*file/tls"):
        made_here.ensure(tmp_path / "file" / "tls", time.time())
