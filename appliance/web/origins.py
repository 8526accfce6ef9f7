"""The host names that the service answers to, and the web pages that may use it.

Rules of this file:
- A page on the internet can point its own name to an address in this network (DNS rebinding); the browser then treats
  the service as that page's server. So the Host of a request must be a name that no stranger can own: an IP address, a
  name without a dot, a name under `.local` or `.localhost`, this machine's name in its own domains, or a configured
  name.
- Any page can send requests to any address. So requests that change something (all but GET, HEAD and OPTIONS), and all
  of Socket.IO, must come from a page of the service itself or from one of `server.cors_origins`.
- A request without Origin does not come from a web page, and is accepted.
- A proxy passes the host that the browser requested in X-Forwarded-Host. A foreign page cannot set that header: the
  browser would first send a preflight request, which is refused.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from appliance.models.names import shown
from appliance.web.access import Access
from appliance.web.respond import Respond

log = logging.getLogger(__name__)


_HOST = re.compile(r"\[(?P<address>[0-9A-Fa-f:.]+)(%[^\]]*)?\](:\d*)?|(?P<name>[\w.-]+)(:\d*)?", re.ASCII)
_OWN_SUFFIXES = (".local", ".localhost")
_DEFAULT_PORT = {"http": ":80", "https": ":443"}
_SOCKET_IO = "/socket.io/"
_ESP32_ORIGIN = "file://"
"""arduinoWebSockets sends this Origin in every handshake."""
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def middleware(access: Access, respond: Respond, root: Path = Path("/")) -> Any:
    """Refuse requests with a foreign Host or from a foreign page. `root`: of the machine's files."""
    domains = search_domains(root)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin", "")
        trusted = (_name_of(trusted_origin) for trusted_origin in access.rules.cors_origins)
        if host and not is_ours(host, (*access.rules.allowed_hosts, *trusted), domains):
            return refuse("host_refused", _wrong_host(host), 403)
        socket_io = request.path.startswith(_SOCKET_IO)
        if origin and (request.method not in _SAFE_METHODS or (socket_io and origin != _ESP32_ORIGIN)):
            hosts = (host, request.headers.get("X-Forwarded-Host", "").partition(",")[0].strip())
            if not may_use(origin, hosts, access.rules.cors_origins):
                return refuse("origin_refused", _wrong_origin(origin), 400 if socket_io else 403)
        return await handler(request)

    def refuse(code: str, reason: str, status: int) -> web.Response:
        log.warning("refused request: %s", reason, extra={"kind": code, "code": code})
        response = respond({"success": False, "error": reason, "code": code, "duration": 0}, status)
        response.force_close()  # the body of the request is not read
        return response

    return check


def is_ours(host: str, allowed: Iterable[str], domains: Iterable[str] = ()) -> bool:
    """Whether a Host header names this service. `allowed`: `name`, `.domain` (all its subdomains), or `*` (all)."""
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    if match["address"]:
        return _is_address(match["address"])
    name = match["name"].lower().rstrip(".")
    if "." not in name or name.endswith(_OWN_SUFFIXES) or _is_address(name):
        return True
    machine = socket.gethostname().lower()
    own = {machine, *(f"{machine.partition('.')[0]}.{domain}" for domain in domains)}
    return name in own or any(_covers(entry.lower().rstrip("."), name) for entry in allowed)


def may_use(origin: str, hosts: Iterable[str], cors_origins: Iterable[str]) -> bool:
    """Whether a page of this origin may send a request to `hosts` (Host and X-Forwarded-Host)."""
    allowed = {entry.lower().rstrip("/") for entry in cors_origins}
    if "*" in allowed or origin.lower() in allowed:
        return True
    scheme, separator, authority = origin.lower().partition("://")
    default = _DEFAULT_PORT.get(scheme, "")
    return bool(separator) and authority.removesuffix(default) in {
        host.lower().removesuffix(default) for host in hosts if host
    }


def search_domains(root: Path) -> tuple[str, ...]:
    """The search domains of this machine, from resolv.conf(5)."""
    try:
        lines = (root / "etc/resolv.conf").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    words = [line.split() for line in lines]
    return tuple(word.lower().strip(".") for line in words if line[:1] in (["search"], ["domain"]) for word in line[1:])


def _name_of(origin: str) -> str:
    """`cams.example.com` from `https://cams.example.com:8443`. `*` allows all pages, but no additional host name."""
    match = _HOST.fullmatch(origin.partition("://")[2].rstrip("/"))
    return match["name"] or "" if match else ""


def _covers(entry: str, name: str) -> bool:
    return entry == "*" or entry == name or (entry.startswith(".") and name.endswith(entry))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _wrong_host(host: str) -> str:
    return f"unknown host name '{shown(host[:100])}'. To allow it, add it to server.allowed_hosts"


def _wrong_origin(origin: str) -> str:
    return (
        f"web pages from '{shown(origin[:100])}' are not allowed. To allow them, add the origin to server.cors_origins"
    )
