"""A device's key on the bus: an Ed25519 key in the form of NATS ("nkey").

The package `nkeys` (0.2.1, of 2024) is not used: it has no wheel, and releases are built from wheels only; and it
needs PyNaCl for the signatures that `cryptography`, which every device has, makes too.

`python -m appliance.site.nkey FILE` makes one, writes its seed into a new file, and prints the public key.

The form: base32 of prefix, key and CRC-16, without padding. A user's seed has the prefix of two bytes that makes it
begin with `SU`, its public key one byte that makes it begin with `U` (github.com/nats-io/nkeys, strkey.go).
"""

from __future__ import annotations

import base64
import binascii
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.errors import ConfigError

_SEED, _USER = 18 << 3, 20 << 3
_SEED_PREFIX = bytes([_SEED | _USER >> 5, (_USER & 31) << 3])
_SEED_BYTES = 32


@dataclass(frozen=True, slots=True)
class Nkey:
    """A user's key. `sign` answers the nonce of a server."""

    public: str
    sign: Callable[[str], bytes]


def read_nkey(file: Path) -> Nkey:
    """Read a seed. Raises ConfigError."""
    try:
        text = file.read_text(encoding="ascii").strip()
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except (OSError, ValueError) as error:
        raise ConfigError(f"site.bus_key_file: {file}: {error}") from None
    prefix, seed, check = raw[:2], raw[2:-2], raw[-2:]
    if prefix != _SEED_PREFIX or len(seed) != _SEED_BYTES or check != _check(raw[:-2]):
        raise ConfigError(f"site.bus_key_file: {file} holds no seed of a NATS user, which begins with SU")
    return _of(seed)


def make_nkey(file: Path) -> Nkey:
    """Make a key and write its seed into a new file that only its owner can read. Raises OSError."""
    seed = os.urandom(_SEED_BYTES)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w", encoding="ascii") as opened:
        opened.write(_encoded(_SEED_PREFIX + seed) + "\n")
    return _of(seed)


def _of(seed: bytes) -> Nkey:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return Nkey(_encoded(bytes([_USER]) + public), lambda nonce: base64.b64encode(key.sign(nonce.encode())))


def _encoded(raw: bytes) -> str:
    return base64.b32encode(raw + _check(raw)).decode().rstrip("=")


def _check(raw: bytes) -> bytes:
    return binascii.crc_hqx(raw, 0).to_bytes(2, "little")


if __name__ == "__main__":
    sys.stdout.write(make_nkey(Path(sys.argv[1])).public + "\n")
