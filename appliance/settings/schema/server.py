"""Section `[server]`: HTTP and Socket.IO."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from appliance.settings.requirements import FORM

HostName = Annotated[
    str,
    Meta(
        pattern=r"^(\*|\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)$",
        max_length=253,
        extra={FORM: "a host name without scheme and port, such as device.example.com"},
    ),
]

NetworkRange = Annotated[
    str,
    Meta(
        pattern=r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$",
        max_length=50,
        extra={FORM: "an IP address or network, such as 192.168.1.5 or 10.0.0.0/8"},
    ),
]


class ServerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """HTTP and Socket.IO server."""

    host: Annotated[str, Meta(description="Listen address. 0.0.0.0: all IPv4 interfaces.")] = "0.0.0.0"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port. 0: the system chooses a free one.")] = 8080
    cors_origins: Annotated[
        tuple[str, ...],
        Meta(description="Web origins that may connect from a browser; '*': any. Empty: only the device's own page."),
    ] = ()
    allowed_hosts: Annotated[
        tuple[HostName, ...],
        Meta(
            max_length=100,
            description="Additional host names of this device. `.example.com`: all its subdomains. `*`: any name, "
            "which permits DNS rebinding. Always accepted: IP addresses, the host name, .local, names without a dot.",
        ),
    ] = ()
    trusted_proxies: Annotated[
        tuple[NetworkRange, ...],
        Meta(
            max_length=100,
            description="Reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, as addresses or "
            "networks. Empty: none; a client could otherwise claim any address.",
        ),
    ] = ()
    security_contact: Annotated[
        str,
        Meta(
            pattern=r"^$|^(mailto:|https://|tel:)[!-~]{1,250}$",
            extra={FORM: "empty, or a mailto:, https: or tel: address"},
            description="Where to report a vulnerability, for /.well-known/security.txt: "
            "mailto:security@example.com, an https: page or a tel: number. Empty: no such file.",
        ),
    ] = ""
    supported_until: Annotated[
        str,
        Meta(
            pattern=r"^$|^20[2-9][0-9]-(0[1-9]|1[0-2])$",
            extra={FORM: "empty, or a year and a month such as 2031-12"},
            description="The last month in which whoever ships this device fixes its vulnerabilities: 2031-12. "
            "Empty: not stated, which is reported, because the law asks for it (CRA, article 13; EN 303 645, 5.3-13).",
        ),
    ] = ""
    ping_interval_s: Annotated[
        float, Meta(ge=1, le=300, description="Interval between Socket.IO pings, s. 25 is the Socket.IO default.")
    ] = 25.0
    ping_timeout_s: Annotated[
        float,
        Meta(
            ge=1,
            le=600,
            description="Disconnect a client that does not answer a ping in time, s. 60 suits slow radio links.",
        ),
    ] = 60.0
    max_frame_bytes: Annotated[
        int,
        Meta(
            ge=1000, le=64_000_000, description="Maximum size of an image file, bytes. 10 MB is enough for any 4K JPEG."
        ),
    ] = 10_000_000
    compression: Annotated[
        bool, Meta(description="Compress text responses over HTTP and polling. Images are never compressed again.")
    ] = True
    compression_min_bytes: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000_000,
            description="Minimum size of a response to compress, bytes. Smaller ones gain nothing.",
        ),
    ] = 1024
    websocket_deflate: Annotated[
        bool,
        Meta(
            description="Offer permessage-deflate. Off: clients would also deflate JPEGs, which costs CPU for nothing."
        ),
    ] = False
    max_connections: Annotated[
        int, Meta(ge=1, le=100_000, description="Maximum number of Socket.IO connections. More are refused.")
    ] = 2000
    max_connections_per_address: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Maximum number of TCP connections from one address. Raise it for a reverse proxy on another "
            "host. 127.0.0.1 and ::1 have no limit.",
        ),
    ] = 500
    max_unfinished_bytes: Annotated[
        int,
        Meta(
            ge=1_000_000,
            le=4_000_000_000,
            description="Memory for partially received messages of all clients, bytes. Two messages always fit.",
        ),
    ] = 64_000_000
    header_timeout_s: Annotated[
        float,
        Meta(
            ge=1,
            le=300,
            description="Time limit for request headers, and for CONNECT after a handshake, s. Radio links need 2.",
        ),
    ] = 10.0
    message_timeout_s: Annotated[
        float,
        Meta(
            ge=2,
            le=3600,
            description="Time limit for a whole body or message, s. 60 is 10 MB at 1.5 Mbit/s. "
            "A sender that is silent for a quarter of it is disconnected.",
        ),
    ] = 60.0
    idle_timeout_s: Annotated[
        float,
        Meta(
            ge=1,
            le=86_400,
            description="Close an HTTP connection without a request after this time, s. 75 is the nginx default.",
        ),
    ] = 75.0
    viewer_token: Annotated[
        str,
        Meta(
            description="A token of the role viewer. Where it is set, nobody views without a token, also on this "
            "device and with access.auth off. Empty: none."
        ),
    ] = ""
    require_token: Annotated[
        bool,
        Meta(
            description="Accept frames over Socket.IO only with a camera's or an operator's token, also from this "
            "device and with access.auth off."
        ),
    ] = False
    api_key: Annotated[
        str,
        Meta(
            description="A token of the role integration, also accepted as `api_key` of /v1/vision. Where it is set, "
            "nobody detects over HTTP without a token, also on this device and with access.auth off. Empty: none."
        ),
    ] = ""
    keep_pictures: Annotated[
        bool,
        Meta(
            description="Keep the latest image of each camera for /cameras/NAME/latest.jpg while it has no viewers, "
            "up to 32 MB in total. Off: images are released after inference."
        ),
    ] = False
    advertise: Annotated[
        bool,
        Meta(description="Announce the device by multicast DNS, so that cameras find it. Requires the extra 'mdns'."),
    ] = False
    drain_s: Annotated[
        float,
        Meta(
            ge=0,
            le=600,
            description="Time at shutdown to finish accepted frames, s. systemd kills the service after 15.",
        ),
    ] = 3.0
