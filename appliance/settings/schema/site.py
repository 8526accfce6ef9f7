"""Section `[site]`: one device of several behind a front."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from appliance.settings.requirements import FORM

NatsUrl = Annotated[
    str,
    Meta(
        pattern=r"^(nats|tls)://[A-Za-z0-9_.:\[\]-]{1,250}$",
        extra={FORM: "a server such as nats://10.0.0.1:4222 or tls://10.0.0.1:4222"},
    ),
]


class SiteSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A site of several devices behind HAProxy; see docs/site.md."""

    agent_port: Annotated[
        int,
        Meta(
            ge=0,
            le=65535,
            description="TCP port on which HAProxy asks how much of its work this device can take. "
            "0: this device does not stand behind a front, and cameras are never moved. Also requires "
            "server.trusted_proxies.",
        ),
    ] = 0
    settle_s: Annotated[
        float,
        Meta(
            ge=60,
            le=86_400,
            description="Time that a camera stays before heat or balance may move it again, s. "
            "900 is at most four moves an hour.",
        ),
    ] = 900.0
    device: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_.-]{0,64}$",
            extra={FORM: "at most 64 letters, digits and _ . -"},
            description="Name of this device within the site; the same as in the front's list. Empty: the host name.",
        ),
    ] = ""
    bus_servers: Annotated[
        tuple[NatsUrl, ...],
        Meta(
            max_length=16,
            description="NATS servers that carry results between the devices of the site, the nearest first. Empty: "
            "viewers see this device's cameras only. Requires the extra 'site'.",
        ),
    ] = ()
    bus_name: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_-]{1,64}$",
            extra={FORM: "1 to 64 letters, digits, _ and -"},
            description="Name of the site on the bus; devices with another one are not heard.",
        ),
    ] = "site"
    bus_key_file: Annotated[
        str,
        Meta(description="This device's nkey seed for the bus, a file that only the service can read. Empty: none."),
    ] = ""
    bus_ca_file: Annotated[
        str,
        Meta(
            description="Certificates to trust, as a PEM file, for servers with tls://. Empty: those that the system "
            "trusts."
        ),
    ] = ""
