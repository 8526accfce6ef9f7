"""Pins in URLs."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import ConfigError
from appliance.tls import pin

DIGEST = "ab" * 32


def test_a_pin_is_split_from_the_url() -> None:
    assert pin.split_pin(pin.with_pin("https://device:8080", DIGEST)) == ("https://device:8080", DIGEST)
    pairs = ":".join(["AB"] * 32)
    assert pin.split_pin(f"https://device:8080/prefix#sha256={pairs}") == ("https://device:8080/prefix", DIGEST)
    assert pin.split_pin("http://device") == ("http://device", None)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://device#sha256=12", "64 hexadecimal digits"),
        ("https://device#md5=" + DIGEST, "64 hexadecimal digits"),
        ("http://device#sha256=" + DIGEST, "must begin with https://"),
    ],
)
def test_a_wrong_pin_is_an_error(url: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        pin.split_pin(url)


def test_an_unusable_certificate_authority_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    for name, why in (("ca.pem", "not a PEM file"), ("other.pem", "No such file")):
        with pytest.raises(ConfigError, match=rf"{name}: cannot read the certificate authority: .*{why}"):
            pin.verification(None, str(tmp_path / name))
