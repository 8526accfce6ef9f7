"""The URLs of this device for `appliance address`, as the running service offers them."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.device import listening_address
from appliance.device.listening_address import ListeningAddress
from appliance.service import addresses, from_settings
from appliance.settings.schema import Settings
from appliance.tls.certificate import CertificateFacts, facts_of

_ANSWERS_WITHIN_S = 3.0


@dataclass(frozen=True, slots=True)
class DeviceAddress:
    """How other machines reach the device. `certificate`: None if it is unknown or there is no HTTPS."""

    urls: Sequence[str]
    certificate: CertificateFacts | None = None


def find(settings: Settings, root: Path = Path("/")) -> DeviceAddress:
    """The URLs; those of HTTPS with the pin of the key, if the service runs. `root`: of the machine's files."""
    written = ListeningAddress(settings.server.host, settings.server.port)
    server = listening_address.read(root) or written
    tls = from_settings.tls_rules(settings).enabled
    here = "127.0.0.1" if server.host in ("0.0.0.0", "::", "") else server.host
    presented = presented_by(here, server.port) if tls else None
    urls = addresses.addresses_from_outside(server.host, server.port, tls=tls)
    if presented is not None:
        urls = [f"{url}#sha256={presented.key_pin}" for url in urls]
    return DeviceAddress(urls, presented)


def presented_by(host: str, port: int) -> CertificateFacts | None:
    """The certificate that this port presents; None if it does not answer over HTTPS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is this device, and only its key is read
    with (
        contextlib.suppress(OSError, ValueError, IndexError, KeyError),
        socket.create_connection((host, port), _ANSWERS_WITHIN_S) as plain,
        context.wrap_socket(plain) as connection,
    ):
        return facts_of(connection.getpeercert(binary_form=True) or b"")
    return None
