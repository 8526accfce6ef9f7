"""What the link to the broker needs to know."""

from __future__ import annotations

from dataclasses import dataclass

USUAL_DISCOVERY = "homeassistant"
_PORT, _TLS_PORT = 1883, 8883


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """Files in PEM format; empty: the system's certificates, and no certificate of our own."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


@dataclass(frozen=True, slots=True)
class MqttOptions:
    """The settings `[mqtt]`."""

    host: str
    device_id: str
    port: int = 0
    """0: the usual one."""
    username: str = ""
    password: str = ""
    tls: TlsOptions | None = None
    topic: str = "appliance"
    discovery: str = USUAL_DISCOVERY
    """Empty: no discovery."""
    interval_s: float = 10.0
    timeout_s: float = 10.0
    """For the broker to confirm a message. A broker that hangs is noticed by this."""
    queue: int = 1000
    event_qos: int = 2
    pictures: bool = False
    commands: bool = False

    @property
    def broker_port(self) -> int:
        return self.port or (_TLS_PORT if self.tls else _PORT)


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """How the device introduces itself. `url`: its page; None: unknown."""

    name: str
    version: str
    model: str | None
    serial: str | None
    url: str | None
