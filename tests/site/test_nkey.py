"""Keys of devices on the bus. tests/site/test_nats.py uses one with a real server."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from appliance.errors import ConfigError
from appliance.site.nkey import make_nkey, read_nkey


def test_a_seed_of_the_format_s_authors_has_their_public_key(tmp_path: Path) -> None:
    """The pair in the documentation of nats-server, "nkeys"."""
    file = tmp_path / "user.nk"
    file.write_text("SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY\n")
    assert read_nkey(file).public == "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"


def test_a_new_key_is_read_again_signs_and_belongs_to_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "box1.nk"
    made, read = make_nkey(file), read_nkey(file)
    assert made.public == read.public
    assert file.stat().st_mode & 0o777 == 0o400
    raw = base64.b32decode(made.public)[1:-2]
    Ed25519PublicKey.from_public_bytes(raw).verify(base64.b64decode(read.sign("nonce")), b"nonce")
    with pytest.raises(FileExistsError):
        make_nkey(file)


@pytest.mark.parametrize("text", ["", "SU", "é", "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VA",
                                  "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"])  # fmt: skip
def test_an_invalid_seed_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "box1.nk").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"site\.bus_key_file: .*box1\.nk"):
        read_nkey(tmp_path / "box1.nk")
