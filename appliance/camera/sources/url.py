"""Addresses of network cameras as people write them: the password is found, handed on, and never shown.

Rules of this file:
- Passwords are pasted in raw, with `@`, `/`, `#` or a space in them. The user's part ends at the `@` that is followed
  by what looks most like a host.
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from dataclasses import dataclass

from appliance.redaction import hide_parameters, redact

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9a-f:.%\w]+\]|[\w.-]+)(:\d{1,5})?(?=[/?#]|$)", re.IGNORECASE)
_TOO_SHORT_TO_FIND = 4
"""A password of fewer characters is not searched for in other texts: it would be found by chance."""


@dataclass(frozen=True, slots=True)
class CameraUrl:
    """The parts of an address; user and password as the camera wants them, not encoded."""

    scheme: str
    user: str
    password: str
    host: str
    """With the port, if one was given."""
    path: str
    """All that follows the host."""
    shown: str
    """For logs: without the secrets."""
    written: str

    @property
    def encoded(self) -> str:
        """As a library wants it: the reserved characters of user and password are percent-encoded."""
        who = urllib.parse.quote(self.user, safe="")
        if self.password:
            who += ":" + urllib.parse.quote(self.password, safe="")
        return f"{self.scheme}://{who}@{self.host}{self.path}" if who else f"{self.scheme}://{self.host}{self.path}"

    def hide(self, text: str) -> str:
        """A text from elsewhere, for example an exception's, without this address's secrets."""
        for secret in (self.written, self.encoded):
            text = text.replace(secret, self.shown)
        if len(self.password) >= _TOO_SHORT_TO_FIND:
            text = text.replace(self.password, "***").replace(urllib.parse.quote(self.password, safe=""), "***")
        return hide_parameters(text)


def is_url(source: str) -> bool:
    """Whether a source is a network address rather than a path."""
    return _SCHEME.match(source) is not None


def parse(source: str) -> CameraUrl:
    """The parts of `scheme://[user[:password]@]host[:port][/path]`."""
    found = _SCHEME.match(source)
    scheme, rest = (found[1].lower(), source[found.end() :]) if found else ("", source)
    authority = re.match(r"[^/?#]*", rest)
    strict = authority[0].rfind("@") if authority else -1
    query = rest.find("?", strict + 1)
    later = [at for at in _all("@", rest) if at > strict and ":" in rest[:at]]
    if strict >= 0:  # of equals the last: an `@` in a password is more common than one in a path
        later = [at for at in reversed(later) if at < query or query < 0]
    ends = [*later, strict] if strict >= 0 else [strict, *later]
    end = max(ends, key=lambda at: _likeness(rest[at + 1 :]))
    user, _, password = rest[: max(end, 0)].partition(":")
    host = re.match(r"[^/?#]*", rest[end + 1 :])
    assert host is not None  # it matches the empty text
    return CameraUrl(
        scheme=scheme,
        user=urllib.parse.unquote(user),
        password=urllib.parse.unquote(password),
        host=host[0],
        path=rest[end + 1 + len(host[0]) :],
        shown=redact(source),
        written=source,
    )


def _all(what: str, text: str) -> list[int]:
    return [found.start() for found in re.finditer(re.escape(what), text)]


def _likeness(text: str) -> int:
    """How much this begins like a host: 3 an IP address or with a port, 2 a name with a dot, 1 any name, 0 nothing."""
    found = _HOST.match(text)
    if found is None:
        return 0
    try:
        ipaddress.ip_address(found[1].strip("[]").partition("%")[0])
        return 3
    except ValueError:
        return 3 if found[2] or found[1].lower() == "localhost" else 2 if "." in found[1] else 1
