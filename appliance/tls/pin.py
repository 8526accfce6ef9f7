"""How a client recognises a device: by the SHA-256 of its key or certificate, or by a certificate authority.

A pin is the fragment of the device's URL, `https://device:8080#sha256=…`, which is never sent.
"""

from __future__ import annotations

import re
import ssl
import urllib.parse
from pathlib import Path
from typing import Any

import aiohttp

from appliance.errors import ConfigError
from appliance.tls.certificate import facts_of

_PIN = re.compile(r"sha256=((?:[0-9a-f]{2}:?){31}[0-9a-f]{2})", re.IGNORECASE)


class KeyPin(aiohttp.Fingerprint):
    """Accepts a server by its key or its certificate. aiohttp calls `check` before it sends a request."""

    def check(self, transport: Any) -> None:
        """Raise ServerFingerprintMismatch for another server."""
        tls = transport.get_extra_info("ssl_object")
        try:
            facts = facts_of(tls.getpeercert(binary_form=True))
            got = (facts.key_pin, facts.fingerprint)
        except (AttributeError, TypeError, ValueError):  # no certificate, or not a sound one
            got = ("", "")
        if self.fingerprint.hex() not in got:
            host, port, *_ = transport.get_extra_info("peername")
            raise aiohttp.ServerFingerprintMismatch(self.fingerprint, bytes.fromhex(got[0]), host, port)


def with_pin(url: str, key_pin: str) -> str:
    """The URL with a pin."""
    return f"{url}#sha256={key_pin}"


def split_pin(url: str) -> tuple[str, str | None]:
    """The URL without its fragment, and the pin. Raises ConfigError."""
    plain, _, fragment = url.partition("#")
    if not fragment:
        return plain, None
    match = _PIN.fullmatch(fragment)
    if match is None:
        raise ConfigError(
            "the part after # must be sha256= and 64 hexadecimal digits, as `appliance address` prints it"
        )
    if urllib.parse.urlsplit(plain).scheme != "https":
        raise ConfigError("a URL with #sha256= must begin with https://")
    return plain, match[1].replace(":", "").lower()


def verification(pin: str | None, ca_file: str = "") -> KeyPin | ssl.SSLContext | bool:
    """What aiohttp is to check a server's certificate against: a pin, else this CA, else those of the system.

    Raises ConfigError for an unusable CA file.
    """
    if pin is not None:
        return KeyPin(bytes.fromhex(pin))
    if not ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=str(Path(ca_file)))
    except OSError as error:
        reason = "not a PEM file with certificates" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(f"{ca_file}: cannot read the certificate authority: {reason}") from None
