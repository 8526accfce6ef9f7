"""Section `[mqtt]`: the link to an MQTT broker."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from appliance.settings.requirements import FORM


class MqttSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """MQTT, and discovery by Home Assistant."""

    host: Annotated[str, Meta(max_length=253, description="Host name or address of the broker. Empty: no MQTT.")] = ""
    port: Annotated[
        int, Meta(ge=0, le=65535, description="TCP port of the broker. 0: 8883 with TLS, 1883 without.")
    ] = 0
    username: Annotated[str, Meta(description="User name at the broker. Empty: none.")] = ""
    password: Annotated[str, Meta(description="Password at the broker. Empty: none.")] = ""
    tls: Annotated[bool, Meta(description="Encrypt the connection, and check the broker's certificate.")] = False
    ca_file: Annotated[
        str, Meta(description="Certificates to trust, as a PEM file. Empty: those that the system trusts.")
    ] = ""
    cert_file: Annotated[
        str, Meta(description="The device's own certificate for the broker, as a PEM file. Empty: none.")
    ] = ""
    key_file: Annotated[str, Meta(description="Key of cert_file, as a PEM file. Empty: it is in cert_file.")] = ""
    topic: Annotated[
        str,
        Meta(
            pattern=r"^[^/+#$\x00-\x1f]([^+#\x00-\x1f]*[^/+#\x00-\x1f])?$",
            max_length=200,
            extra={FORM: "a topic without wildcards (+ #), and without a slash at its ends"},
            description="First part of all topics: TOPIC/DEVICE_ID/…",
        ),
    ] = "appliance"
    device_id: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_-]{0,64}$",
            extra={FORM: "at most 64 letters, digits, _ and -"},
            description="Name of this device in topics and in Home Assistant. "
            "Empty: made from the board's serial number.",
        ),
    ] = ""
    discovery: Annotated[
        str,
        Meta(
            pattern=r"^([A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*)?$",
            max_length=100,
            extra={FORM: "letters, digits and _ / -, without a slash at its ends or two in a row"},
            description="Topic prefix of Home Assistant's discovery. Empty: no discovery.",
        ),
    ] = "homeassistant"
    classes: Annotated[
        tuple[str, ...],
        Meta(
            max_length=50,
            description="Classes with sensors of their own, of those that a camera reports. If it reports none of "
            "them: its first ten.",
        ),
    ] = ("person", "car", "dog", "cat")
    interval_s: Annotated[
        float,
        Meta(ge=1, le=3600, description="Interval between updates of the device's and the cameras' state, s."),
    ] = 10.0
    timeout_s: Annotated[
        float,
        Meta(
            ge=1,
            le=60,
            description="Time for the broker to confirm a message, s; then the device connects again. 10 suits mobile "
            "networks.",
        ),
    ] = 10.0
    queue: Annotated[
        int,
        Meta(
            ge=10,
            le=100_000,
            description="Number of events to keep while the broker is away, about 1 kB each. The newest are kept.",
        ),
    ] = 1000
    event_qos: Annotated[
        Literal[1, 2],
        Meta(
            description="MQTT quality of service of events. 2: exactly once. 1: at least once, for brokers without 2."
        ),
    ] = 2
    pictures: Annotated[
        bool,
        Meta(description="Publish the best picture of each event. Also requires server.keep_pictures."),
    ] = False
    commands: Annotated[
        bool,
        Meta(description="Accept commands: anyone who may publish at the broker can then control the device."),
    ] = False
