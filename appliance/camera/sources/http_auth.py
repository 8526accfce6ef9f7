"""What a camera wants to hear before it shows anything: HTTP's Basic and Digest (RFC 7617, RFC 7616).

aiohttp has Digest only in its newer versions, and urllib's knows neither SHA-256 nor a password beyond ASCII.
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


@dataclass(slots=True)
class Login:
    """A user and password, and what the camera asked for last: later requests are answered without being asked."""

    user: str
    password: str
    _basic: bool = False
    _digest: dict[str, str] = field(default_factory=dict)
    _count: int = 0

    def learn(self, challenges: Iterable[str]) -> bool:
        """Take in the WWW-Authenticate headers of a refusal; whether there is an answer to them."""
        self._digest, self._basic, self._count = {}, False, 0
        if not (self.user or self.password):
            return False
        text = ", ".join(challenges)
        for found in re.finditer(r"\bdigest\s+(.*?)(?=\s*,?\s*\b(?:basic|digest|bearer|negotiate)\s|$)", text, re.I):
            items = [item.partition("=") for item in urllib.request.parse_http_list(found[1])]
            asked = {key.strip().lower(): value.strip().strip('"') for key, _, value in items}
            if _hash_of(asked) and "nonce" in asked and _qop_of(asked) in ("", "auth"):
                self._digest = asked
                return True
        self._basic = re.search(r"\bbasic\b", text, re.I) is not None
        return self._basic

    def header(self, method: str, path: str) -> str | None:
        """The Authorization header of the next request; None as long as the camera has not asked for one."""
        if self._digest:
            return self._digest_header(method, path)
        if self._basic:
            return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return None

    def _digest_header(self, method: str, path: str) -> str:
        asked, hashed = self._digest, _hash_of(self._digest)
        assert hashed is not None
        self._count += 1
        count, nonce, ours = f"{self._count:08x}", asked["nonce"], secrets.token_hex(8)
        realm, algorithm, qop = asked.get("realm", ""), asked.get("algorithm"), _qop_of(asked)
        who = hashed(f"{self.user}:{realm}:{self.password}".encode())
        if (algorithm or "").upper().endswith("-SESS"):
            who = hashed(f"{who}:{nonce}:{ours}".encode())
        what = hashed(f"{method}:{path}".encode())
        middle = f"{nonce}:{count}:{ours}:{qop}" if qop else nonce
        user = self.user.replace("\\", "\\\\").replace('"', '\\"')
        parts = [f'username="{user}"', f'realm="{realm}"', f'nonce="{nonce}"', f'uri="{path}"',
                 f'response="{hashed(f"{who}:{middle}:{what}".encode())}"']  # fmt: skip
        parts += [f"algorithm={algorithm}"] if algorithm else []
        parts += [f'opaque="{asked["opaque"]}"'] if "opaque" in asked else []
        parts += [f"qop={qop}", f"nc={count}", f'cnonce="{ours}"'] if qop else []
        return "Digest " + ", ".join(parts)


def _hash_of(asked: dict[str, str]) -> Callable[[bytes], str] | None:
    return _HASHES.get(asked.get("algorithm", "MD5").upper().removesuffix("-SESS"))


def _qop_of(asked: dict[str, str]) -> str:
    """The protection to use: auth where it is offered; "" for cameras of before 1999."""
    offered = [one.strip().lower() for one in asked.get("qop", "").split(",") if one.strip()]
    return "auth" if "auth" in offered else offered[0] if offered else ""
