"""Validation of answers against the device's own documents."""

from __future__ import annotations

import re
from typing import Any

import jsonschema


def closed(schema: Any) -> Any:
    """The schema, with fields forbidden that it does not describe."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    fixed = {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else {}
    return fixed | {key: closed(part) for key, part in schema.items()}


def _pattern(path: str) -> re.Pattern[str]:
    """What a path with parameters matches."""
    return re.compile("[^/]+".join(re.escape(part) for part in re.split(r"\{\w+\}", path)))


class Documented:
    """A document, and the schema of each of its answers."""

    def __init__(self, document: Any) -> None:
        self.document = document

    def check(self, schema: Any, value: object) -> None:
        """Raise ValidationError if the value has a wrong or an undescribed field."""
        components = {"components": closed(self.document["components"])}
        jsonschema.Draft202012Validator({**closed(schema), **components}).validate(value)

    def check_answer(self, method: str, path: str, status: int, media: str, value: object) -> None:
        """An answer to a request of this path. An error has the code and the text that all have."""
        responses = self._operation(method, path)["responses"]
        response = responses.get(str(status)) or responses[f"{status // 100}XX"]
        assert media in response["content"] or "*/*" in response["content"], (method, path, status, media)
        if media == "application/json":
            schema = response["content"][media]["schema"]
            if status >= 400 and str(status) not in responses:
                jsonschema.Draft202012Validator(schema | {"components": self.document["components"]}).validate(value)
            else:
                self.check(schema, value)

    def _operation(self, method: str, path: str) -> Any:
        paths = self.document["paths"]
        described = paths.get(path) or next(one for alike, one in paths.items() if _pattern(alike).fullmatch(path))
        return described[method.lower()]

    def check_event(self, name: str, payload: object) -> None:
        """An event or acknowledgement (`NAME_ack`) of Socket.IO."""
        self.check(self.document["channels"]["socketio"]["messages"][name]["payload"], payload)

    def check_message(self, topic: str, payload: object) -> None:
        """A message to a topic of MQTT, by its name in the document."""
        self.check(self.document["channels"][topic]["messages"]["message"]["payload"], payload)
