"""The description of the device and its cameras for Home Assistant: one retained message each (device-based discovery).

https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from appliance.health.recorder import STATUSES
from appliance.links.mqtt.options import DeviceFacts
from appliance.links.mqtt.states import CameraPlan
from appliance.links.mqtt.topics import Topics, slug

Components = dict[str, dict[str, Any]]

ORIGIN = "edge-detection-appliance"
MOST_COMPONENTS = 200
"""Of one camera: ten classes in ten zones. Home Assistant shows each as an entity."""
_MOST_FORMER_BYTES = 1_000_000
"""MOST_COMPONENTS with the longest names are a tenth of it."""
_DIAGNOSTIC = {"entity_category": "diagnostic"}
_MEASUREMENT = {"state_class": "measurement"}
_PROBLEM = {"platform": "binary_sensor", "device_class": "problem"}


INSTALL = "install_update"
"""The command of the update entity; it has no button."""


class _Former(msgspec.Struct):
    components: dict[str, dict[str, Any]]


def device_config(
    topics: Topics, facts: DeviceFacts, commands: tuple[str, ...], *, updates: bool = False
) -> dict[str, Any]:
    """The device with its sensors, and a button for each command. `updates`: also what could be installed."""
    components: Components = {
        "status": _sensor("Status", "status", device_class="enum", options=list(STATUSES)),
        "problem": {
            "name": "Problem",
            **_PROBLEM,
            "value_template": _on("value_json.status != 'ok'"),
            "json_attributes_topic": topics.state,
            "json_attributes_template": "{{ {'findings': value_json.findings} | to_json }}",
        },
        "temperature": _sensor(
            "Temperature", "temperature", device_class="temperature", unit_of_measurement="°C", **_MEASUREMENT
        ),
        "throttled": {"name": "Throttled", **_PROBLEM, "value_template": _on("value_json.throttled")},
        "cooling_state": _sensor("Cooling state", "cooling_state", **_MEASUREMENT, **_DIAGNOSTIC),
        "memory_available": _sensor(
            "Memory available", "memory_available", device_class="data_size", unit_of_measurement="B", **_MEASUREMENT,
            **_DIAGNOSTIC,
        ),
        "rate": _sensor("Rate", "rate", unit_of_measurement="frames/s", **_MEASUREMENT),
        "latency": _sensor(
            "Latency", "latency", device_class="duration", unit_of_measurement="ms", **_MEASUREMENT, **_DIAGNOSTIC
        ),
        "cameras": _sensor("Cameras sending", "cameras", **_MEASUREMENT),
    }  # fmt: skip
    if updates:
        components["update"] = _update(topics, commands)
    for verb in (one for one in commands if one != INSTALL):
        components[verb] = {
            "platform": "button",
            "name": verb.replace("_", " ").capitalize(),
            "command_topic": topics.command(verb),
        }
    return _message(topics, topics.device_id, _about(topics, facts), components, topics.state)


def camera_config(topics: Topics, facts: DeviceFacts, plan: CameraPlan) -> dict[str, Any]:
    """A camera as a device behind this one: occupancy and count by class and zone, last seen, problem, events."""
    components: Components = {
        "last_seen": _sensor("Last seen", "last_seen", device_class="timestamp", **_DIAGNOSTIC),
        "problem": {"name": "Problem", **_PROBLEM, "value_template": _on("value_json.problem")},
        "rate": _sensor("Rate", "rate", unit_of_measurement="frames/s", **_MEASUREMENT, **_DIAGNOSTIC),
        "min_interval": _sensor(
            "Interval given",
            "min_interval",
            device_class="duration",
            unit_of_measurement="s",
            **_MEASUREMENT,
            **_DIAGNOSTIC,
        ),
        "event": {
            "platform": "event",
            "name": "Event",
            "state_topic": topics.camera_event(plan.name),
            "event_types": ["start", "update", "end"],
            "value_template": "{{ dict(value_json, event_type=value_json.type) | to_json }}",
        },
    }
    if plan.picture:
        components["picture"] = {
            "platform": "image",
            "name": "Last event",
            "image_topic": topics.camera_picture(plan.name),
            "content_type": "image/jpeg",
        }
    for name in plan.classes:
        components |= _presence(name, "value_json.classes", name)
    for zone, classes in plan.zones:
        for name in classes:
            components |= _presence(f"{zone} {name}", f"value_json.zones.get({_literal(zone)}, {{}})", name)
    first = dict(list(components.items())[:MOST_COMPONENTS])
    about = {
        "identifiers": [topics.camera_id(plan.name)],
        "name": plan.label or plan.name,
        "model": "Camera",
        "via_device": topics.device_id,
    }
    return _message(topics, topics.camera_id(plan.name), about, first, topics.camera_state(plan.name))


def without_former(config: dict[str, Any], former: bytes) -> dict[str, Any] | None:
    """The payload that also removes the components of a former one that are gone; None: none is.

    Home Assistant keeps a component until it is sent with nothing but its platform.
    """
    if len(former) > _MOST_FORMER_BYTES:
        return None
    try:
        gone = {
            key: {"platform": component["platform"]}
            for key, component in msgspec.json.decode(former, type=_Former).components.items()
            if key not in config["components"] and len(component) > 1
        }
    except (msgspec.MsgspecError, ValueError, LookupError, RecursionError):
        return None  # nothing, or not ours: anybody at the broker may have left it
    return {**config, "components": config["components"] | gone} if gone else None


def _update(topics: Topics, commands: tuple[str, ...]) -> dict[str, Any]:
    """https://www.home-assistant.io/integrations/update.mqtt/"""
    entity = {
        "platform": "update",
        "name": "Update",
        "device_class": "firmware",
        "value_template": "{{ value_json.update | to_json if value_json is defined and value_json.update is defined }}",
    }
    return entity | (
        {"command_topic": topics.command(INSTALL), "payload_install": "install"} if INSTALL in commands else {}
    )


def _presence(label: str, counts: str, name: str) -> Components:
    """Whether objects of a class are there, and how many. `counts`: the template of a mapping from class to number."""
    count = f"{counts}.get({_literal(name)}, 0)"
    title = label[:1].upper() + label[1:]
    return {
        f"{slug(label)}_occupancy": {
            "platform": "binary_sensor",
            "name": f"{title} occupancy",
            "device_class": "occupancy",
            "value_template": _on(f"{count} > 0"),
        },
        f"{slug(label)}_count": {
            "platform": "sensor",
            "name": f"{title} count",
            "value_template": _template(count),
            **_MEASUREMENT,
        },
    }


def _literal(text: str) -> str:
    """A text in a template. Jinja would read an escaped emoji, a surrogate pair in JSON, as two characters."""
    return json.dumps(text, ensure_ascii=False)


def _sensor(name: str, key: str, **more: Any) -> dict[str, Any]:
    return {"platform": "sensor", "name": name, "value_template": _template(f"value_json.{key}"), **more}


def _on(condition: str) -> str:
    return _template(f"iif({condition}, 'ON', 'OFF')")


def _template(value: str) -> str:
    """A template that gives nothing for the empty message that removes a state."""
    return f"{{{{ {value} if value_json is defined }}}}"


def _about(topics: Topics, facts: DeviceFacts) -> dict[str, Any]:
    about = {"identifiers": [topics.device_id], "name": facts.name, "sw_version": facts.version, "model": facts.model,
             "serial_number": facts.serial, "configuration_url": facts.url}  # fmt: skip
    return {key: value for key, value in about.items() if value}


def _message(
    topics: Topics, node: str, about: dict[str, Any], components: Components, state_topic: str
) -> dict[str, Any]:
    """The payload. Unknown keys would be refused as a whole by Home Assistant."""
    return {
        "device": about,
        "origin": {"name": ORIGIN},
        "availability_topic": topics.status,
        "state_topic": state_topic,
        "components": {
            key: {**component, "unique_id": f"{node}_{key}"} for key, component in sorted(components.items())
        },
    }
