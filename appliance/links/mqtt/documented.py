"""The topics and payloads of the link, for the AsyncAPI document."""

from __future__ import annotations

from typing import Any, NamedTuple

from appliance.events.object_event import EventPayload
from appliance.links.mqtt.options import MqttOptions
from appliance.links.mqtt.states import CameraState, DeviceState
from appliance.links.mqtt.topics import Topics


class Described(NamedTuple):
    """One topic. `payload`: the type of its JSON; None: it is text or bytes."""

    name: str
    address: str
    summary: str
    payload: Any = None
    media: str = "application/json"
    retained: bool = False
    sent: bool = True


def described(commands: tuple[str, ...]) -> list[Described]:
    """All topics but those of discovery, which follow Home Assistant's schema."""
    topics, camera = Topics(MqttOptions(host="", device_id="{device}")), "{camera}"
    return [
        Described("status", topics.status, "online, or offline by the last will", media="text/plain", retained=True),
        Described("test", topics.test, "A person tests the connection", media="text/plain"),
        Described("state", topics.state, "The state of the device", DeviceState, retained=True),
        Described("camera_state", topics.camera_state(camera), "The state of a camera", CameraState, retained=True),
        Described("camera_event", topics.camera_event(camera), "An event of a camera", EventPayload),
        Described(
            "camera_picture",
            topics.camera_picture(camera),
            "The best picture of the latest event, where pictures are allowed",
            media="image/jpeg",
            retained=True,
        ),
        *(
            Described(f"command_{verb}", topics.command(verb), "Any payload, where commands are allowed",
                      media="text/plain", sent=False)
            for verb in commands
        ),
    ]  # fmt: skip
