"""Sessions of the page: a signed value in a cookie, which survives a restart of the service.

Rules of this file:
- The signature covers the token's hash, so revoking or rotating the token ends its sessions.
- A session is made only when somebody signs in; a value that a client brings along is never adopted.
- A session that is renewed stays the same one: signing out ends it under each of its values.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

LONGEST_S = 30 * 24 * 3600
_RENEW_AFTER_S = 24 * 3600
_MOST_CLOSED = 1000
_LONGEST_VALUE = 300


class Sessions:
    """`key`: signs; `binding_of`: the hash of a credential by its id, None: it is not valid (any more)."""

    def __init__(
        self,
        key: Callable[[], bytes],
        binding_of: Callable[[str], str | None],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._key, self._binding_of, self._wall_clock = key, binding_of, wall_clock
        self._closed: OrderedDict[str, None] = OrderedDict()
        """Signed out before they expired, since the service started."""
        self.changed: Callable[[], None] = lambda: None
        """Called when somebody has signed out."""

    def open(self, credential: str) -> str | None:
        """A new session for this credential; None: it is not valid."""
        binding = self._binding_of(credential)
        if binding is None:
            return None
        content = f"{credential}~{int(self._wall_clock()) + LONGEST_S}~{secrets.token_hex(16)}"
        return f"{content}~{self._sign(content, binding)}"

    def read(self, value: str) -> str | None:
        """The credential of a session; None: it is forged, expired, closed or revoked."""
        content, _, signature = value.rpartition("~")
        credential, _, rest = content.partition("~")
        expires, _, number = rest.partition("~")
        binding = self._binding_of(credential) if len(value) <= _LONGEST_VALUE else None
        if not hmac.compare_digest(self._sign(content, binding or "").encode(), signature.encode("utf-8", "replace")):
            return None
        if binding is None or number in self._closed or self._wall_clock() > int(expires):
            return None
        return credential

    def renewed(self, value: str) -> str | None:
        """A value of the same session for another LONGEST_S; None: it is not valid, or less than a day old."""
        credential = self.read(value)
        if credential is None:
            return None
        _, expires, number, _ = value.split("~")
        now_s = int(self._wall_clock())
        if int(expires) - now_s > LONGEST_S - _RENEW_AFTER_S:
            return None
        content = f"{credential}~{now_s + LONGEST_S}~{number}"
        return f"{content}~{self._sign(content, self._binding_of(credential) or '')}"

    def close(self, value: str) -> None:
        """Sign out."""
        if self.read(value) is not None:
            self._closed[value.rpartition("~")[0].rpartition("~")[2]] = None
            if len(self._closed) > _MOST_CLOSED:
                self._closed.popitem(last=False)
            self.changed()

    def _sign(self, content: str, binding: str) -> str:
        text = f"session~{content}~{binding}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._key(), digest_size=32).hexdigest()
