#!/usr/bin/env python3
"""Write the configuration of a site's front from a list of its devices.

    python3 front.py site.toml                     haproxy.cfg, for HAProxy 2.6 (Debian 12) and 3.0 (Debian 13)
    python3 front.py site.toml --settings          what each device needs in its appliance.toml
    python3 front.py site.toml --prometheus        the devices as targets for Prometheus (file_sd)
    python3 front.py site.toml --keepalived NAME   keepalived.conf for the front NAME, where there are two

site.toml is explained in docs/site.md. The command needs this folder, Python 3.11, and nothing else.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import sys
from pathlib import Path

from site_list import Device, Front, Site, SiteError, read

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
