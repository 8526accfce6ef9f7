"""Read and check the list of a site's devices, site.toml, which docs/site.md explains."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib  # type: ignore[no-redef]

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HOST = re.compile(r"[A-Za-z0-9_.-]{1,253}|[0-9A-Fa-f:]{2,45}")
_BIND = re.compile(r"([A-Za-z0-9_.-]*|\[[0-9A-Fa-f:]+\]|\*):[0-9]{1,5}")
_FILE = re.compile(r"/[^\s'\"#\\]+")
_TLS = ("end", "pass", "none")


class SiteError(Exception):
    """The list of devices is invalid."""


@dataclass(frozen=True)
class Device:
    """One device behind the front."""

    name: str
    address: str
    port: int = 8080
    agent_port: int = 8081
    weight: int = 100
    """Relative to other devices: 25 for a Pi where a NUC has 100."""
    tls: bool = True
    """Whether the front speaks HTTPS with it."""


@dataclass(frozen=True)
class Front:
    """How the site is reached."""

    bind: str = "*:443"
    tls: str = "end"
    certificate: str = "/etc/haproxy/site.pem"
    devices_ca: str = "/etc/haproxy/devices.pem"
    host: str = ""
    """The DNS name of the site."""
    virtual_address: str = ""
    interface: str = "eth0"
    fronts: tuple[tuple[str, str], ...] = ()
    """Names and addresses of two fronts that share the virtual address."""


@dataclass(frozen=True)
class Site:
    """A front and its devices."""

    front: Front
    devices: tuple[Device, ...]


def read(text: str) -> Site:
    """Read site.toml. Raises SiteError."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SiteError(f"invalid TOML: {error}") from None
    unknown = tree.keys() - {"front", "device"}
    if unknown:
        raise SiteError(f"unknown section [{min(unknown)}]: write [front], and [[device]] for each device")
    devices = tuple(_device(table) for table in tree.get("device", []))
    if not devices:
        raise SiteError("no devices: write [[device]] with name and address for each")
    for field, values in (
        ("name", [one.name for one in devices]),
        ("address and port", [(one.address, one.port) for one in devices]),
    ):
        if len(set(values)) < len(values):
            raise SiteError(f"two devices have the same {field}")
    return Site(_front(tree.get("front", {})), devices)


def _device(table: dict[str, Any]) -> Device:
    _check(
        table, "[[device]]", {"name": str, "address": str, "port": int, "agent_port": int, "weight": int, "tls": bool}
    )
    for needed in ("name", "address"):
        if needed not in table:
            raise SiteError(f"a [[device]] has no {needed}")
    one = Device(**table)
    _match(_NAME, one.name, "a device's name", "letters, digits and _ . -")
    _match(_HOST, one.address, f"the address of {one.name}", "an IP address or host name")
    for port in (one.port, one.agent_port):
        if not 0 < port < 65536:
            raise SiteError(f"{one.name}: port {port} is not a port")
    if not 1 <= one.weight <= 256:
        raise SiteError(f"{one.name}: weight = {one.weight}: write 1 to 256")
    return one


def _front(table: dict[str, Any]) -> Front:
    texts = dict.fromkeys(("bind", "tls", "certificate", "devices_ca", "host", "virtual_address", "interface"), str)
    _check(table, "[front]", {**texts, "fronts": dict})
    fronts = tuple(sorted(table.get("fronts", {}).items()))
    front = Front(**{**table, "fronts": fronts})
    if front.tls not in _TLS:
        raise SiteError(f"front.tls = '{front.tls}': write one of {', '.join(_TLS)}")
    _match(_BIND, front.bind, "front.bind", "ADDRESS:PORT or *:PORT")
    for file in (front.certificate, front.devices_ca):
        _match(_FILE, file, "a file of [front]", "an absolute path without spaces")
    if front.host:
        _match(_HOST, front.host, "front.host", "a DNS name")
    _match(_NAME, front.interface, "front.interface", "the name of a network interface")
    for name, address in fronts:
        _match(_NAME, name, "the name of a front", "letters, digits and _ . -")
        _match(_HOST, str(address), f"the address of the front {name}", "an IP address")
    return front


def _check(table: dict[str, Any], where: str, types: dict[str, type]) -> None:
    for key, value in table.items():
        if key not in types:
            raise SiteError(f"{where}: unknown key '{key}'; known: {', '.join(types)}")
        if not isinstance(value, types[key]) or (types[key] is int and isinstance(value, bool)):
            raise SiteError(f"{where}: {key} = {value!r}: must be {_WORDS[types[key]]}")


_WORDS = {
    str: "a string in quotes",
    int: "a whole number",
    bool: "true or false",
    dict: "a table of names and addresses",
}


def _match(pattern: re.Pattern[str], text: str, what: str, form: str) -> None:
    if not pattern.fullmatch(text):
        raise SiteError(f"{what} is '{text}': must be {form}")
