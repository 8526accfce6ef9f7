#!/usr/bin/env python3
"""Write the configuration of a site's front from a list of its devices.

    python3 front.py site.toml                     haproxy.cfg, for HAProxy 2.6 (Debian 12) and 3.0 (Debian 13)
    python3 front.py site.toml --settings          what each device needs in its appliance.toml
    python3 front.py site.toml --prometheus        the devices as targets for Prometheus (file_sd)
    python3 front.py site.toml --keepalived NAME   keepalived.conf for the front NAME, where there are two

site.toml is explained in docs/site.md. The command needs Python 3.11 and nothing else.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
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


GLOBAL = """\
# Written by provisioning/site/front.py. Change site.toml and write it again.
global
    log /dev/log local0
    chroot /var/lib/haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
    user haproxy
    group haproxy
    localpeer {peer}

defaults
    log global
    timeout connect 2s
    timeout client 90s
    timeout server 90s
    timeout http-request 10s
    timeout http-keep-alive 75s
    timeout tunnel 1h
    timeout check 600ms

peers fronts
    # The table of cameras survives a reload, and a second front knows it too.
{peers}
"""

LOOKING_INSIDE = """
frontend site
    mode http
    bind {bind}{crt}
    option forwardfor
    http-request set-header X-Forwarded-Proto {scheme}
    # A camera, its viewers and its pictures belong on one device. Whoever names no camera belongs on one device too,
    # except single pictures over HTTP, which take turns.
    http-request set-var(txn.key) url_param(camera),url_dec(1)
    http-request set-var(txn.key) path,field(3,/),url_dec if {{ path_beg /cameras/ }}
    acl named var(txn.key) -m found
    acl single path_beg /v1/ /v2/ /detect
    http-request set-var(txn.key) src if !named !single
    default_backend devices

backend polling
    # Only a table: where each session of HTTP polling is. Its requests must meet one device, wherever the camera moves.
    stick-table type string len 64 size 20k expire 2m peers fronts

backend devices
    mode http
    balance hash var(txn.key)
    hash-type consistent sdbm avalanche
    stick-table type string len 256 size 20k expire 30m peers fronts
    # A device answers 503 to a camera that it sends away, and while it stops: the front then asks another one.
    http-request disable-l7-retry unless METH_GET
    option redispatch 1
    retries 3
    retry-on conn-failure empty-response 503
{use_server}
    stick match url_param(sid) table polling if {{ url_param(sid) -m found }}
    stick store-response res.cook(io) table polling
    stick match var(txn.key) if {{ var(txn.key) -m found }} !{{ url_param(moved) -m found }}
    stick store-request var(txn.key) if {{ var(txn.key) -m found }}
    option httpchk
    http-check send meth GET uri /health/ready hdr X-Forwarded-Proto {scheme}
    http-check expect status 200
"""

PASSING = """
frontend site
    mode tcp
    bind {bind}
    default_backend devices

backend devices
    # Encrypted: the front sees only addresses. All cameras behind one address are on one device.
    mode tcp
    balance source
    hash-type consistent sdbm avalanche
    stick-table type ipv6 size 20k expire 30m peers fronts
    stick on src
    option redispatch 1
    retries 3
    option httpchk
    http-check send meth GET uri /health/ready
    http-check expect status 200
"""

SERVERS = """\
    # A frozen device is down after at most 2 s, and its cameras are cut off: they would wait 45 s for a ping.
    default-server check inter 500ms fastinter 200ms fall 2 rise 2 on-marked-down shutdown-sessions
    default-server agent-check agent-inter 1s
"""


def haproxy(site: Site, me: str = "") -> str:
    """haproxy.cfg. `me`: which of the two fronts this is."""
    front = site.front
    fronts = front.fronts or (("front", "127.0.0.1"),)
    peer = me or fronts[0][0]
    if peer not in dict(fronts):
        raise SiteError(f"there is no front '{peer}' in front.fronts")
    text = GLOBAL.format(peer=peer, peers="\n".join(f"    peer {name} {address}:10000" for name, address in fronts))
    if front.tls == "pass":
        text += PASSING.format(bind=front.bind)
    else:
        ends = front.tls == "end"
        text += LOOKING_INSIDE.format(
            bind=front.bind,
            crt=f" ssl crt {front.certificate} alpn http/1.1" if ends else "",
            scheme="https" if ends else "http",
            use_server="\n".join(
                f"    use-server {one.name} if {{ url_param(moved) -m str {one.name} }} !{{ url_param(sid) -m found }}"
                for one in site.devices
            ),
        )
    return text + SERVERS + "\n".join(_server(one, front) for one in site.devices) + "\n"


def _server(one: Device, front: Front) -> str:
    line = f"    server {one.name} {_bracketed(one.address)}:{one.port} weight {one.weight} agent-port {one.agent_port}"
    if front.tls == "pass":
        return line + " check-ssl verify none"  # the check only asks whether it is ready
    return line + (f" ssl verify required ca-file {front.devices_ca}" if one.tls else "")


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def settings(site: Site) -> str:
    """What the devices need in appliance.toml."""
    fronts = [address for _, address in site.front.fronts] or ["ADDRESS-OF-THE-FRONT"]
    lines = []
    for one in site.devices:
        proxies = ", ".join(f'"{address}"' for address in fronts)
        lines += [f"# {one.name}: /etc/appliance/appliance.toml", "[server]", f"trusted_proxies = [{proxies}]"]
        lines += [f'allowed_hosts = ["{site.front.host}"]'] if site.front.host else []
        lines += ["max_connections_per_address = 5000   # the front connects for everybody", ""]
        lines += ["[site]", f"agent_port = {one.agent_port}", f'device = "{one.name}"', ""]
    return "\n".join(lines)


def prometheus(site: Site) -> str:
    """The devices as targets for `file_sd_configs`, with the label `site`."""
    name = site.front.host or "site"
    targets = [
        {"targets": [f"{_bracketed(one.address)}:{one.port}"], "labels": {"site": name, "device": one.name}}
        for one in site.devices
    ]
    return json.dumps(targets, indent=2) + "\n"


def keepalived(site: Site, me: str) -> str:
    """keepalived.conf of one of two fronts: the virtual address moves when HAProxy or the machine dies."""
    front = site.front
    names = [name for name, _ in front.fronts]
    if me not in names or not front.virtual_address:
        raise SiteError("keepalived needs front.virtual_address, and front.fronts with two names and addresses")
    others = [address for name, address in front.fronts if name != me]
    try:
        ipaddress.ip_interface(front.virtual_address)
    except ValueError as error:
        raise SiteError(f"front.virtual_address: {error}") from None
    return f"""\
# Written by provisioning/site/front.py. Change site.toml and write it again.
global_defs {{
    enable_script_security
    script_user root
}}
vrrp_script haproxy {{
    script "/usr/bin/systemctl is-active --quiet haproxy"
    interval 1
    fall 2
    rise 2
}}
vrrp_instance site {{
    state BACKUP
    nopreempt
    interface {front.interface}
    virtual_router_id 51
    priority {150 - names.index(me) * 50}
    advert_int 0.5
    version 3
    unicast_src_ip {dict(front.fronts)[me]}
    unicast_peer {{
        {" ".join(others)}
    }}
    virtual_ipaddress {{
        {front.virtual_address}
    }}
    track_script {{
        haproxy
    }}
}}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("site", type=Path, help="site.toml: the list of devices")
    parser.add_argument("--front", default="", metavar="NAME", help="which of two fronts this is")
    parser.add_argument("--settings", action="store_true", help="print what the devices need in appliance.toml")
    parser.add_argument("--prometheus", action="store_true", help="print the devices as targets for Prometheus")
    parser.add_argument("--keepalived", metavar="NAME", help="print keepalived.conf for the front NAME")
    arguments = parser.parse_args()
    try:
        site = read(arguments.site.read_text(encoding="utf-8"))
        if arguments.keepalived:
            print(keepalived(site, arguments.keepalived), end="")
        elif arguments.prometheus:
            print(prometheus(site), end="")
        elif arguments.settings:
            print(settings(site), end="")
        else:
            print(haproxy(site, arguments.front), end="")
    except (SiteError, OSError, UnicodeDecodeError) as error:
        print(f"{arguments.site}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
