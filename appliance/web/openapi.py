"""The OpenAPI 3.1 document of the HTTP routes: generated from the route table, the policy and the types of answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any, TypeAlias

import msgspec

from appliance.identity.roles import PERMISSIONS
from appliance.web import policy
from appliance.web.authenticator import COOKIE
from appliance.web.operations import ACTION, OPERATIONS, UNDESCRIBED, Operation
from appliance.web.payload_types import ErrorPayload

Json: TypeAlias = dict[str, Any]

VERSION = "1"
"""Of the wire protocol (docs/wire.md)."""
_REF = "#/components/schemas/{name}"
_SECURITY: Json = {
    "token": {"type": "http", "scheme": "bearer", "description": "appliance token add NAME --role ROLE"},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "Set by POST /session"},
}


def routes_of(table: Iterable[Any]) -> list[tuple[str, str]]:
    """Method and path of each route of an application that the document describes."""
    return [
        (route.method, route.resource.canonical)
        for route in table
        if route.method not in ("HEAD", "*") and route.resource.canonical not in UNDESCRIBED
    ]


def document(table: Iterable[Any], actions: Mapping[str, type[msgspec.Struct]]) -> Json:
    """The document of an application's routes. `actions`: the request of each."""
    routes = routes_of(table)
    types = [*_types(_described(*route) for route in routes), *actions.values(), ErrorPayload]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    schema_of = {id(one): schema for one, schema in zip(types, schemas, strict=True)}
    schema_of[id(ACTION)] = {"anyOf": [schema_of[id(one)] for one in dict.fromkeys(actions.values())]}
    paths: Json = {}
    for method, path in routes:
        described = _operation(method, path, _described(method, path), schema_of)
        if path == "/actions/{name}":
            described["parameters"][0]["schema"]["enum"] = sorted(actions)
        paths.setdefault(path, {})[method.lower()] = described
    for name in ("health", "history"):
        components |= _from_file(name)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Edge-detection appliance", "version": VERSION, "license": {"name": "Apache-2.0",
                 "identifier": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SECURITY},
    }  # fmt: skip


def _described(method: str, path: str) -> Operation:
    """What is written about a route. One that was forgotten fails a test, not the document."""
    return OPERATIONS.get((method, path)) or Operation(f"{method} {path}", media=("*/*",))


def _types(operations: Iterable[Operation]) -> list[Any]:
    found = {}
    for one in operations:
        for type_ in (one.answer, None if one.body is ACTION else one.body, *(one.query or {}).values()):
            if type_ is not None:
                found[id(type_)] = type_
    return list(found.values())


def _operation(method: str, path: str, operation: Operation, schema_of: Mapping[int, Json]) -> Json:
    described: Json = {
        "operationId": method.lower() + re.sub(r"\W+", "_", path).rstrip("_"),
        "summary": operation.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"\{(\w+)\}", path)
        ]
        + [
            {"name": name, "in": "query", "schema": schema_of[id(type_)]}
            for name, type_ in (operation.query or {}).items()
        ],
        "responses": _responses(operation, schema_of),
        **_security(path),
    }
    body = _body(operation, schema_of)
    if body:
        described["requestBody"] = {"required": True, "content": body}
    return described


def _responses(operation: Operation, schema_of: Mapping[int, Json]) -> Json:
    content: Json = {media: {} for media in operation.media}
    answers = [schema_of[id(operation.answer)]] if operation.answer is not None else []
    if operation.schema:
        answers.append({"$ref": _REF.format(name=operation.schema)})
    if answers:
        content["application/json"] = {"schema": answers[0] if len(answers) == 1 else {"anyOf": answers}}
    error = {"application/json": {"schema": schema_of[id(ErrorPayload)]}, "text/plain": {}}
    failed = {"description": "An error, by its code", "content": error}
    responses: Json = {"200": {"description": operation.summary, "content": content}, "4XX": failed, "5XX": failed}
    if operation.unready:
        unready = dict(content)
        if operation.answer is not None:
            unready["application/json"] = {"schema": {"anyOf": [schema_of[id(operation.answer)],
                                                                schema_of[id(ErrorPayload)]]}}  # fmt: skip
        responses["503"] = {"description": "The same: not ready, or critical", "content": unready}
    return responses


def _body(operation: Operation, schema_of: Mapping[int, Json]) -> Json:
    content: Json = {media: {"schema": {"type": "string", "format": "binary"}} for media in operation.body_media}
    if operation.body is not None:
        content["application/json"] = {"schema": schema_of[id(operation.body)]}
    if operation.form is not None:
        fields = {
            name: {"type": "string"} | ({"format": kind} if kind else {}) for name, kind in operation.form.items()
        }
        content["multipart/form-data"] = {"schema": {"type": "object", "properties": fields, "required": ["image"]}}
    return content


def _security(path: str) -> Json:
    """What the policy requires: a token of a role that has the permission."""
    required = policy.ROUTES[path]
    permissions = policy.SELF_CHECKED.get(path, frozenset({required} if required else ()))
    if not permissions:
        return {}
    roles = sorted(role.value for role, may in PERMISSIONS.items() if not permissions.isdisjoint(may))
    return {
        "security": [{"token": []}, {"session": []}],
        "description": f"For the roles {', '.join(roles)}; see docs/access.md",
    }


def _from_file(name: str) -> Json:
    """The schema of a file as a component, its parts next to it."""
    text = (files("appliance.web") / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8")
    schema: Json = json.loads(text.replace("#/$defs/", f"#/components/schemas/{name}_"))
    del schema["$schema"]
    parts = schema.pop("$defs", {})
    return {name: schema} | {f"{name}_{part}": described for part, described in parts.items()}
