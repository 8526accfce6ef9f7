"""The AsyncAPI 3 document of Socket.IO and MQTT: generated from the types of the payloads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from appliance.events.object_event import EventPayload
from appliance.web import policy
from appliance.web.openapi import VERSION
from appliance.web.payload_types import (
    ConnectedPayload,
    DetectionErrorPayload,
    FramePayload,
    LimitsPayload,
    PicturePayload,
    ReceiptPayload,
    ResultsPayload,
    SkippedPayload,
    SubscribePayload,
    SubscribeReceiptPayload,
)

Json: TypeAlias = dict[str, Any]

_REF = "#/components/schemas/{name}"
SENT: Mapping[str, Any] = {
    "connected": ConnectedPayload,
    "limits": LimitsPayload,
    "detection_results": ResultsPayload,
    "detection_error": DetectionErrorPayload,
    "frame_skipped": SkippedPayload,
    "picture": PicturePayload,
    "event": EventPayload,
}
"""The events that the device sends."""
RECEIVED: Mapping[str, tuple[Any, Any]] = {
    "process_frame": (FramePayload, ReceiptPayload),
    "subscribe": (SubscribePayload, SubscribeReceiptPayload),
    "unsubscribe": (SubscribePayload, SubscribeReceiptPayload),
}
"""The events that the device takes, and the acknowledgement of each."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic at the MQTT broker. `{device}` and `{camera}` stand for names."""

    name: str
    address: str
    summary: str
    payload: Any
    """The type of its JSON; None: text or bytes."""
    media: str = "application/json"
    retained: bool = False
    sent: bool = True
    """False: the device subscribes to it."""


def document(topics: Iterable[Topic]) -> Json:
    topics = list(topics)
    types = [*SENT.values(), *(one for pair in RECEIVED.values() for one in pair), *(t.payload for t in topics)]
    types = list(dict.fromkeys(one for one in types if one is not None))
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    schema_of = dict(zip(types, schemas, strict=True))
    channels: Json = {"socketio": _socketio(schema_of)}
    operations: Json = {}
    for name in SENT:
        operations[f"send_{name}"] = _operation("send", "socketio", name)
    for name in RECEIVED:
        operations[name] = _operation("receive", "socketio", name) | {
            "summary": f"Requires the permission '{policy.EVENTS[name].value}'",
            "reply": {
                "channel": {"$ref": "#/channels/socketio"},
                "messages": [{"$ref": f"#/channels/socketio/messages/{name}_ack"}],
            },
        }
    for topic in topics:
        channels[topic.name] = _topic(topic, schema_of)
        operations[f"mqtt_{topic.name}"] = _operation("send" if topic.sent else "receive", topic.name, "message")
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Edge-detection appliance", "version": VERSION},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"schemas": components},
    }


def _socketio(schema_of: Mapping[Any, Json]) -> Json:
    messages = {name: {"name": name, "payload": schema_of[type_]} for name, type_ in SENT.items()}
    for name, (payload, acknowledgement) in RECEIVED.items():
        messages[name] = {"name": name, "payload": schema_of[payload]}
        messages[f"{name}_ack"] = {"name": name, "payload": schema_of[acknowledgement]}
    return {
        "address": "/socket.io/",
        "description": "Socket.IO 5, namespace /; a message is an event, its name is the name of the event",
        "messages": messages,
    }


def _topic(topic: Topic, schema_of: Mapping[Any, Json]) -> Json:
    payload = schema_of[topic.payload] if topic.payload is not None else {}
    message = {"contentType": topic.media, "payload": payload}
    parameters: Json = {name: {} for name in ("device", "camera") if f"{{{name}}}" in topic.address}
    return {
        "address": topic.address,
        "summary": topic.summary,
        "messages": {"message": message},
        "parameters": parameters,
        "bindings": {"mqtt": {}},
        "x-retained": topic.retained,
    }


def _operation(action: str, channel: str, message: str) -> Json:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }
