"""Parse URLs of network cameras as people write them, and hide their passwords.

Rules of this file:
- People paste passwords with unescaped `@`, `/`, `#` or spaces. The user part ends at the `@` before the text that
  looks most like a host.
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from dataclasses import dataclass

from appliance.redaction import hide_keys, redact

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9a-f:.%\w]+\]|[\w.-]+)(:\d{1,5})?(?=[/?#]|$)", re.IGNORECASE)
_TOO_SHORT_TO_FIND = 4
"""Shorter passwords are not hidden in other texts, because they would match by chance."""


@dataclass(frozen=True, slots=True)
class CameraUrl:
    """The parts of a URL; user and password are decoded."""

    scheme: str
    user: str
    password: str
    host: str
    """With the port, if given."""
    path: str
    """Everything after the host."""
    shown: str
    """Without the secrets, for logs."""
    written: str

    @property
    def encoded(self) -> str:
        """The URL for libraries, with user and password percent-encoded."""
        who = urllib.parse.quote(self.user, safe="")
        if self.password:
            who += ":" + urllib.parse.quote(self.password, safe="")
        return f"{self.scheme}://{who}@{self.host}{self.path}" if who else f"{self.scheme}://{self.host}{self.path}"

    def hide(self, text: str) -> str:
        """Remove the secrets of this URL from a text, for example from an exception."""
        for secret in (self.written, self.encoded):
            text = text.replace(secret, self.shown)
        if len(self.password) >= _TOO_SHORT_TO_FIND:
            text = text.replace(self.password, "***").replace(urllib.parse.quote(self.password, safe=""), "***")
        return hide_keys(text)


def is_url(source: str) -> bool:
    """Whether a source is a URL rather than a path."""
    return _SCHEME.match(source) is not None


def parse(source: str) -> CameraUrl:
    """Parse `scheme://[user[:password]@]host[:port][/path]`."""
    match = _SCHEME.match(source)
    scheme, rest = (match[1].lower(), source[match.end() :]) if match else ("", source)
    authority = re.match(r"[^/?#]*", rest)
    strict = authority[0].rfind("@") if authority else -1
    query = rest.find("?", strict + 1)
    later = [at for at in _all("@", rest) if at > strict and ":" in rest[:at]]
    if strict >= 0:  # prefer the last of equals: `@` is more common in passwords than in paths
        later = [at for at in reversed(later) if at < query or query < 0]
    ends = [*later, strict] if strict >= 0 else [strict, *later]
    end = max(ends, key=lambda at: _likeness(rest[at + 1 :]))
    user, _, password = rest[: max(end, 0)].partition(":")
    host = re.match(r"[^/?#]*", rest[end + 1 :])
    assert host is not None  # the pattern matches an empty string
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
    return [match.start() for match in re.finditer(re.escape(what), text)]


def _likeness(text: str) -> int:
    """Rate a text as a host: 3 an IP address or with a port, 2 a name with a dot, 1 any name, 0 none."""
    match = _HOST.match(text)
    if match is None:
        return 0
    try:
        ipaddress.ip_address(match[1].strip("[]").partition("%")[0])
        return 3
    except ValueError:
        return 3 if match[2] or match[1].lower() == "localhost" else 2 if "." in match[1] else 1
