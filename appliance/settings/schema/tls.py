"""Section `[tls]`: encryption of the port."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct


class TlsSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """HTTPS. It shares the port with HTTP; while `server.host` is a loopback address, it needs a certificate."""

    enabled: Annotated[
        bool,
        Meta(
            description="Serve HTTPS. Off only where a reverse proxy or VPN encrypts: tokens and images are readable "
            "on the network otherwise."
        ),
    ] = True
    certificate: Annotated[
        str,
        Meta(
            max_length=4096,
            description="PEM file with the certificate and its chain, read again when it changes. "
            "Empty: the device makes its own.",
        ),
    ] = ""
    key: Annotated[
        str, Meta(max_length=4096, description="PEM file with the key of `certificate`, without a password.")
    ] = ""
    plain_http: Annotated[
        Literal["redirect", "allow"],
        Meta(
            description="What to do with plain HTTP from other machines. redirect: send GET to HTTPS, refuse all "
            "else. allow: serve it, for cameras and NVRs without TLS. This device itself may always use HTTP."
        ),
    ] = "redirect"
