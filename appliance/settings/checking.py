"""Check the settings of one source against the schema.

Rules of this file:
- A source is checked before it is merged, so that an error names the file and line, the variable, the credential or
  the flag.
- An unknown key is an error that names its location and the nearest valid key.
- An error never contains the value of a secret: the page shows errors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin

import msgspec
from msgspec import Struct

from appliance.errors import ConfigError, did_you_mean
from appliance.settings.fields import Schema, field_types, type_hints
from appliance.settings.requirements import requirement
from appliance.settings.secrets import SECRETS, shown
from appliance.settings.sources import Layer

_MAX_SHOWN = 80
_MAX_NAME = 253
"""Characters of a section's own name, such as a camera's or a zone's. No camera has a longer one."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check(layer: Layer, schema: Schema) -> None:
    """Check one source against the schema. Raises ConfigError for the first unknown key or invalid value."""
    for error in errors_in(layer, schema):
        raise error


def errors_in(layer: Layer, schema: Schema) -> Iterator[ConfigError]:
    """One error for each unknown key and invalid value of a source."""
    hints = type_hints(schema)
    for key, value in layer.tree.items():
        section = hints.get(key)
        if section is None:
            yield _unknown(layer, key, key, list(hints))
        else:
            yield from _field_errors(layer, key, value, section, field_types(schema)[key][1])


def _field_errors(layer: Layer, where: str, value: Any, hint: Any, doc: str) -> Iterator[ConfigError]:
    """Check a section, a table of sections by name, or a value."""
    bare, limits = get_args(hint)[:2] if get_origin(hint) is Annotated else (hint, msgspec.Meta())
    if get_origin(bare) is dict:
        yield from _table_errors(layer, where, value, hint, limits, doc)
    elif isinstance(bare, type) and issubclass(bare, Struct):
        yield from _section_errors(layer, where, value, bare)
    elif error := _value_error(layer, where, value, hint, doc):
        yield error


def _table_errors(
    layer: Layer, where: str, value: Any, hint: Any, limits: msgspec.Meta, doc: str
) -> Iterator[ConfigError]:
    if error := _not_a_table(layer, where, value):
        yield error
        return
    if limits.max_length is not None and len(value) > limits.max_length:
        yield _invalid(layer, where, f"{len(value)} sections", requirement(hint), doc)
    kind = get_args(get_args(hint)[0] if get_origin(hint) is Annotated else hint)[1]
    for name, entry in value.items():
        if len(name) > _MAX_NAME or _CONTROL.search(name):
            reason = f"a name must have at most {_MAX_NAME} characters, without control characters"
            yield _invalid(layer, where, name, reason, doc)
        else:
            yield from _field_errors(layer, f"{where}.{name}", entry, kind, doc)


def _section_errors(layer: Layer, where: str, tree: Any, kind: Schema) -> Iterator[ConfigError]:
    if error := _not_a_table(layer, where, tree):
        yield error
        return
    fields = field_types(kind)
    hints = type_hints(kind)
    for key, value in tree.items():
        if key not in fields:
            yield _unknown(layer, f"{where}.{key}", key, list(fields))
        else:
            yield from _field_errors(layer, f"{where}.{key}", value, hints[key], fields[key][1])


def _not_a_table(layer: Layer, where: str, value: Any) -> ConfigError | None:
    if isinstance(value, Mapping):
        return None
    return ConfigError(f"{layer.at(where)}: {where} is a section, not a value. Write [{where}] with its keys below it.")


def _value_error(layer: Layer, where: str, value: Any, hint: Any, doc: str) -> ConfigError | None:
    try:
        converted = msgspec.convert(value, hint, strict=not layer.from_text)
    except msgspec.ValidationError:
        return _invalid(layer, where, value, requirement(hint), doc)
    if isinstance(converted, float) and not math.isfinite(converted):
        return _invalid(layer, where, value, requirement(hint), doc)
    if any(_CONTROL.search(text) for text in _texts(converted)):
        return _invalid(layer, where, value, "must not contain control characters", doc)
    return None


def _invalid(layer: Layer, where: str, value: Any, reason: str, doc: str) -> ConfigError:
    note = f" ({doc})" if doc else ""
    key = where.rpartition(".")[2]
    written = "(secret)" if key in SECRETS else _shown(shown(key, value))
    return ConfigError(f"{layer.at(where)}: {where} = {written}: {reason}{note}")


def _texts(value: Any) -> tuple[Any, ...]:
    """The strings in a setting. A path with a NUL byte would crash the service."""
    return tuple(one for one in (value if isinstance(value, tuple) else (value,)) if isinstance(one, str))


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits
        return "(a very long number)"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def _unknown(layer: Layer, where: str, key: str, known: list[str]) -> ConfigError:
    hint = did_you_mean(key, known, cutoff=0.5) or f"; valid keys: {', '.join(sorted(known))}"
    return ConfigError(f"{layer.at(where)}: unknown key '{where}'{hint}")
