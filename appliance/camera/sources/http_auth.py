"""HTTP Basic and Digest authentication for network cameras (RFC 7617, RFC 7616).

Only newer versions of aiohttp support Digest, and urllib supports neither SHA-256 nor non-ASCII passwords.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

_HASHES: dict[str, Callable[[bytes], str]] = {
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
}


_SCHEME = re.compile(r"\b(basic|digest|bearer|negotiate)\s", re.IGNORECASE)


@dataclass(slots=True)
class Login:
    """A user and password with the latest challenge of the camera, so that later requests need no new challenge."""

    user: str
    password: str
    _basic: bool = False
    _digest: dict[str, str] = field(default_factory=dict)
    _count: int = 0

    def learn(self, challenges: Iterable[str]) -> bool:
        """Store the WWW-Authenticate headers of a 401 response; return whether a supported scheme is among them."""
        self._digest, self._basic, self._count = {}, False, 0
        if not (self.user or self.password):
            return False
        text = ", ".join(challenges)
        for parameters in _parameters_of_digests(text):
            items = [item.partition("=") for item in urllib.request.parse_http_list(parameters)]
            challenge = {key.strip().lower(): value.strip().strip('"') for key, _, value in items}
            if _hash_of(challenge) and "nonce" in challenge and _qop_of(challenge) in ("", "auth"):
                self._digest = challenge
                return True
        self._basic = re.search(r"\bbasic\b", text, re.I) is not None
        return self._basic

    def header(self, method: str, path: str) -> str | None:
        """The Authorization header of the next request; None before the first challenge."""
        if self._digest:
            return self._digest_header(method, path)
        if self._basic:
            return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return None

    def _digest_header(self, method: str, path: str) -> str:
        challenge, hashed = self._digest, _hash_of(self._digest)
        assert hashed is not None
        self._count += 1
        count, nonce, cnonce = f"{self._count:08x}", challenge["nonce"], secrets.token_hex(8)
        realm, algorithm, qop = challenge.get("realm", ""), challenge.get("algorithm"), _qop_of(challenge)
        who = hashed(f"{self.user}:{realm}:{self.password}".encode())
        if (algorithm or "").upper().endswith("-SESS"):
            who = hashed(f"{who}:{nonce}:{cnonce}".encode())
        what = hashed(f"{method}:{path}".encode())
        middle = f"{nonce}:{count}:{cnonce}:{qop}" if qop else nonce
        user = self.user.replace("\\", "\\\\").replace('"', '\\"')
        parts = [f'username="{user}"', f'realm="{realm}"', f'nonce="{nonce}"', f'uri="{path}"',
                 f'response="{hashed(f"{who}:{middle}:{what}".encode())}"']  # fmt: skip
        parts += [f"algorithm={algorithm}"] if algorithm else []
        parts += [f'opaque="{challenge["opaque"]}"'] if "opaque" in challenge else []
        parts += [f"qop={qop}", f"nc={count}", f'cnonce="{cnonce}"'] if qop else []
        return "Digest " + ", ".join(parts)


def _parameters_of_digests(challenges: str) -> Iterable[str]:
    """What follows `Digest` up to the next scheme. One expression for it takes cubic time, and cameras choose it."""
    schemes = list(_SCHEME.finditer(challenges))
    begins = [*(scheme.start() for scheme in schemes), len(challenges)]
    for scheme, end in zip(schemes, begins[1:], strict=True):
        if scheme[1].lower() == "digest":
            yield challenges[scheme.end() : end].rstrip(", ")


def _hash_of(challenge: dict[str, str]) -> Callable[[bytes], str] | None:
    return _HASHES.get(challenge.get("algorithm", "MD5").upper().removesuffix("-SESS"))


def _qop_of(challenge: dict[str, str]) -> str:
    """The quality of protection: auth if offered; "" for cameras that follow RFC 2069."""
    offered = [one.strip().lower() for one in challenge.get("qop", "").split(",") if one.strip()]
    return "auth" if "auth" in offered else offered[0] if offered else ""
