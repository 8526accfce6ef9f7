"""Which names the service answers to, and which web pages may use it.

Rules of this file:
- A page on the internet can let its own name point to an address of this network (DNS rebinding), and the browser then
  takes the service for that page's own server. So a request's Host must be a name that no stranger can own: an address,
  a name without a dot, or under `.local` or `.localhost`, this machine's name in its own domains, or one of the
  settings.
- A page may send to any address, whosever page it is. So what changes something (all but GET, HEAD and OPTIONS), and
  whatever belongs to Socket.IO, must come from a page of the service itself, or from one of `server.cors_origins`.
- What sends no Origin is not a browser's page, and is taken.
- A proxy names the host that the browser asked for in X-Forwarded-Host. A stranger's page cannot: for a header of its
  own the browser would first ask here, and is refused.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from aiohttp import web

from appliance.web.access import Access
from appliance.web.respond import Respond

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HOST = re.compile(r"\[(?P<address>[0-9A-Fa-f:.]+)(%[^\]]*)?\](:\d*)?|(?P<name>[\w.-]+)(:\d*)?", re.ASCII)
_OWN_SUFFIXES = (".local", ".localhost")
_DEFAULT_PORT = {"http": ":80", "https": ":443"}
_SOCKETS = "/socket.io/"
_NO_PAGE = "file://"
"""Origin of an ESP32 (arduinoWebSockets names it in every handshake)."""
_READS = ("GET", "HEAD", "OPTIONS")


def middleware(access: Access, respond: Respond, root: Path = Path("/")) -> Any:
    """Refuse requests under a stranger's name or from a stranger's page. `root`: of the machine's files."""
    domains = search_domains(root)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin", "")
        trusted = (_name_of(trusted_origin) for trusted_origin in access.rules.cors_origins)
        if host and not is_ours(host, (*access.rules.allowed_hosts, *trusted), domains):
            return refuse("host_refused", _wrong_host(host), 403)
        sockets = request.path.startswith(_SOCKETS)
        if origin and (request.method not in _READS or (sockets and origin != _NO_PAGE)):
            hosts = (host, request.headers.get("X-Forwarded-Host", "").partition(",")[0].strip())
            if not may_use(origin, hosts, access.rules.cors_origins):
                return refuse("origin_refused", _wrong_origin(origin), 400 if sockets else 403)
        return await handler(request)

    def refuse(code: str, reason: str, status: int) -> web.Response:
        log.warning("refused a request: %s", reason, extra={"kind": code, "code": code})
        response = respond({"success": False, "error": reason, "code": code, "duration": 0}, status)
        response.force_close()  # its body is not read
        return response

    return check


def is_ours(host: str, allowed: Iterable[str], domains: Iterable[str] = ()) -> bool:
    """Whether a Host header names this service. `allowed`: `name`, `.domain` for all below it, `*` for all."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    if found["address"]:
        return _is_address(found["address"])
    name = found["name"].lower().rstrip(".")
    if "." not in name or name.endswith(_OWN_SUFFIXES) or _is_address(name):
        return True
    machine = socket.gethostname().lower()
    own = {machine, *(f"{machine.partition('.')[0]}.{domain}" for domain in domains)}
    return name in own or any(_covers(entry.lower().rstrip("."), name) for entry in allowed)


def may_use(origin: str, hosts: Iterable[str], cors_origins: Iterable[str]) -> bool:
    """Whether a page of this origin may send here, where the request was sent to one of `hosts`."""
    given = {entry.lower().rstrip("/") for entry in cors_origins}
    if "*" in given or origin.lower() in given:
        return True
    scheme, found, authority = origin.lower().partition("://")
    default = _DEFAULT_PORT.get(scheme, "")
    return bool(found) and authority.removesuffix(default) in {
        host.lower().removesuffix(default) for host in hosts if host
    }


def search_domains(root: Path) -> tuple[str, ...]:
    """The domains of this machine's networks, as resolv.conf(5) has them."""
    try:
        lines = (root / "etc/resolv.conf").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    words = [line.split() for line in lines]
    return tuple(word.lower().strip(".") for line in words if line[:1] in (["search"], ["domain"]) for word in line[1:])


def _name_of(origin: str) -> str:
    """`cams.example.com` out of `https://cams.example.com:8443`; "*" stands for pages, not for names of ours."""
    found = _HOST.fullmatch(origin.partition("://")[2].rstrip("/"))
    return found["name"] or "" if found else ""


def _covers(entry: str, name: str) -> bool:
    return entry == "*" or entry == name or (entry.startswith(".") and name.endswith(entry))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _wrong_host(host: str) -> str:
    return f"this device is not known as '{host[:100]}'. If it should be, add the name to server.allowed_hosts"


def _wrong_origin(origin: str) -> str:
    return f"pages of '{origin[:100]}' may not use this device. If they should, add the origin to server.cors_origins"
