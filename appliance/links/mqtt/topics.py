"""The topics of this device, and the names that Home Assistant knows its parts by."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from urllib.parse import unquote

from appliance.links.mqtt.options import MqttOptions

_SPECIAL = re.compile(r"[%/+#\x00-\x1f\x7f]")
"""Characters with a meaning in a topic, and the one that escapes them."""
_NO_ID = re.compile(r"[^A-Za-z0-9_-]+")


class Topics:
    """The topics under one device."""

    def __init__(self, options: MqttOptions) -> None:
        self.base = f"{options.topic}/{options.device_id}"
        self.device_id = options.device_id
        self.discovery = options.discovery
        self.status = f"{self.base}/status"
        self.state = f"{self.base}/state"
        self.test = f"{self.base}/test"
        self.commands = f"{self.base}/command"
        self.any_camera_state = f"{self.base}/cameras/+/state"
        self.any_camera_picture = f"{self.base}/cameras/+/picture"
        self.home_assistant = f"{options.discovery}/status"

    def camera_state(self, camera: str) -> str:
        return f"{self.base}/cameras/{_escaped(camera)}/state"

    def camera_event(self, camera: str) -> str:
        return f"{self.base}/cameras/{_escaped(camera)}/event"

    def camera_picture(self, camera: str) -> str:
        return f"{self.base}/cameras/{_escaped(camera)}/picture"

    def command(self, verb: str) -> str:
        return f"{self.commands}/{verb}"

    def camera_in(self, topic: str, what: str = "state") -> str | None:
        """The camera whose state, or `picture`, this topic carries; None: it is another topic."""
        parts = topic.removeprefix(f"{self.base}/cameras/").split("/")
        return unquote(parts[0]) if len(parts) == 2 and parts[1] == what and topic.startswith(self.base) else None

    def camera_id(self, camera: str) -> str:
        """The camera's identity in Home Assistant."""
        return f"{self.device_id}_{slug(camera)}"

    def device_config(self) -> str:
        return self._config(self.device_id)

    def camera_config(self, camera: str) -> str:
        return self._config(self.camera_id(camera))

    def _config(self, node: str) -> str:
        return f"{self.discovery}/device/{node}/config"

    def of_camera(self, camera: str) -> tuple[str, ...]:
        """All retained topics of a camera."""
        topics = (self.camera_state(camera), self.camera_picture(camera))
        return (self.camera_config(camera), *topics) if self.discovery else topics


def _escaped(name: str) -> str:
    """The name as one level of a topic: `%`, `/`, `+` and `#` become %25, %2F, %2B and %23."""
    return _SPECIAL.sub(lambda match: f"%{ord(match[0]):02X}", name)


def slug(name: str) -> str:
    """A name of letters, digits, `_` and `-` for Home Assistant, different for different names.

    With a space in the key of a component, Home Assistant 2025.4 does not remove it with its device.
    """
    plain = _NO_ID.sub("_", unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()).strip("_")
    if plain == name:
        return plain
    return f"{plain[:40]}_{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"
