"""Read the sources of the settings and check each against the schema.

Rules of this file:
- A source is checked before it is merged, so that an error names the file and line, the variable, the credential or
  the flag.
- An unknown key is an error that names its location and the nearest valid key.
- An error never contains the value of a secret: the page shows errors.
"""

from __future__ import annotations

import functools
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from appliance import files
from appliance.errors import ConfigError, did_you_mean
from appliance.redaction import origin, redact, secrets_of_origin
from appliance.settings.requirements import requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Tree = dict[str, Any]
"""Settings as nested tables: {"server": {"port": 80}}."""
Schema = type[Struct]

SECRETS = ("token", "viewer_token", "api_key", "password", "secret")
SECRET_ADDRESSES = ("url",)
"""Addresses whose path lets everyone who knows it in: of webhooks."""
CREDENTIALS = "server.viewer_token, server.api_key, mqtt.password, cameras.NAME.token, webhooks.NAME.secret"
PREFIX = "APPLIANCE_"
_NOT_SETTINGS = {"APPLIANCE_CONFIG", "APPLIANCE_CONTROL", "APPLIANCE_TOKEN"}
_MAX_BYTES = 1_000_000
"""Limit for a settings file. The path may name a device by mistake, and a failing disk can corrupt a file's size."""
_MAX_SHOWN = 80
_MAX_NAME = 253
"""Characters of a section's own name, such as a camera's or a zone's. No camera has a longer one."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"\s*([\w.\"'-]+)\s*=")


@dataclass(frozen=True, slots=True)
class Layer:
    """The settings of one source.

    `from_text`: all values are strings, "80" means 80. `lines`: the line number of each key in a file.
    """

    source: str
    tree: Tree
    from_text: bool = False
    lines: Mapping[str, int] = field(default_factory=dict)

    def at(self, where: str) -> str:
        """The source and, if known, the line of a key."""
        line = self.lines.get(where)
        return self.source if line is None else f"{self.source}, line {line}"


def of_toml(path: Path) -> Layer:
    """Read a settings file. Raises ConfigError."""
    try:
        text = files.read_plain(path, _MAX_BYTES).decode("utf-8-sig") if str(path) != os.devnull else ""
        return Layer(str(path), tomllib.loads(text), lines=_lines(text))
    except OSError as error:
        advice = ". Use sudo." if isinstance(error, PermissionError) else ""
        raise ConfigError(f"{path}: cannot be read: {error.strerror}{advice}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply") from None
    except ValueError as error:  # also numbers of thousands of digits
        raise ConfigError(f"{path}: is not valid TOML: {error}") from None


def of_credentials(folder: Path) -> Iterator[Layer]:
    """Read the secrets that systemd passes as credentials, one file each.

    A name can have the prefix `appliance_`, which `LoadCredential=` adds for a folder.

    Raises ConfigError.
    """
    if not folder.exists():
        return  # no credentials: systemd 255 removes the folder but still sets the variable
    try:
        paths = sorted(path for path in folder.iterdir() if path.is_file())
        for path in paths:
            source, name = f"credential {path.name}", path.name.removeprefix("appliance_")
            value = files.read_plain(path, _MAX_BYTES).decode("utf-8").strip()
            if not value:
                raise ConfigError(
                    f"{source}: is empty, which would allow access without a secret. Write the secret to its file."
                )
            yield Layer(source, _credential(source, name, value))
    except OSError as error:
        raise ConfigError(f"credentials in {folder}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"credentials in {folder}: a secret must be UTF-8 text") from None


def _credential(source: str, name: str, value: str) -> Tree:
    """The secret of this name as a tree. Raises ConfigError."""
    if name in ("server.viewer_token", "server.api_key", "mqtt.password"):
        section, _, key = name.partition(".")
        return {section: {key: value}}
    for section, key in (("cameras", "token"), ("webhooks", "secret")):
        if name.startswith(f"{section}.") and name.endswith(f".{key}") and name != f"{section}.{key}":
            return {section: {name.removeprefix(f"{section}.").removesuffix(f".{key}"): {key: value}}}
    raise ConfigError(f"{source}: unknown credential. Valid names: {CREDENTIALS}")


def of_environment(environ: Mapping[str, str], schema: Schema) -> Iterator[Layer]:
    """Read `APPLIANCE_SECTION_KEY` variables. Raises ConfigError."""
    for name, value in sorted(environ.items()):
        if not name.startswith(PREFIX) or name in _NOT_SETTINGS:
            continue
        section, _, key = name[len(PREFIX) :].lower().partition("_")
        yield _of_text(f"environment, {name}", f"{section}.{key}" if key else section, value, schema)


def of_flags(flags: Mapping[str, str], schema: Schema) -> Iterator[Layer]:
    """Read `section.key` flags. Raises ConfigError."""
    for key, value in flags.items():
        yield _of_text(f"--set {key}", key, value, schema)


def check(layer: Layer, schema: Schema) -> None:
    """Check one source against the schema. Raises ConfigError for the first unknown key or invalid value."""
    for error in errors_in(layer, schema):
        raise error


def errors_in(layer: Layer, schema: Schema) -> Iterator[ConfigError]:
    """One error for each unknown key and invalid value of a source."""
    hints = _hints(schema)
    for key, value in layer.tree.items():
        section = hints.get(key)
        if section is None:
            yield _unknown(layer, key, key, list(hints))
        else:
            yield from _field_errors(layer, key, value, section, field_types(schema)[key][1])


def merge(into: Tree, tree: Mapping[str, Any]) -> None:
    """Merge a tree into another one; its values win."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


@functools.cache
def field_types(struct: Schema) -> Mapping[str, tuple[Any, str]]:
    """The type of each field without its annotation, and its description."""
    fields: dict[str, tuple[Any, str]] = {}
    for name, hint in _hints(struct).items():
        if get_origin(hint) is Annotated:
            bare, meta = get_args(hint)[:2]
            fields[name] = (bare, meta.description or "")
        else:
            fields[name] = (hint, "")
    return fields


@functools.cache
def _hints(schema: Schema) -> Mapping[str, Any]:
    """The type hints of a schema with descriptions and bounds. Cached: resolving them takes milliseconds."""
    return get_type_hints(schema, include_extras=True)


def _of_text(source: str, dotted: str, value: str, schema: Schema) -> Layer:
    """Convert `server.port`, "80" to {"server": {"port": "80"}}. Commas separate the items of a list."""
    section, _, key = dotted.partition(".")
    if not key:
        return Layer(source, {section: value}, from_text=True)
    kind = _hints(schema).get(section)
    known = field_types(kind) if isinstance(kind, type) and issubclass(kind, Struct) else {}
    if key in known and get_origin(known[key][0]) is tuple:
        return Layer(source, {section: {key: [item.strip() for item in value.split(",") if item.strip()]}}, True)
    return Layer(source, {section: {key: value}}, from_text=True)


def _lines(text: str) -> dict[str, int]:
    """The line number of each section and key, which tomllib does not report. Rare notations are left out."""
    numbers: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            section = re.sub(r"[\"']", "", header[1])
            numbers.setdefault(section, number)
        elif key := _KEY.match(line):
            name = re.sub(r"[\"']", "", key[1])
            numbers.setdefault(f"{section}.{name}" if section else name, number)
    return numbers


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
    hints = _hints(kind)
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


def shown(key: str, value: Any) -> Any:
    """A value without secrets, or a list of such values. `key`: its name."""
    if isinstance(value, (tuple, list)):
        return type(value)(shown(key, one) for one in value)
    if key in SECRETS and value:
        return "(set)"
    if not isinstance(value, str):
        return value
    return origin(value) if key in SECRET_ADDRESSES else redact(value)


def secrets_of(value: Any, key: str = "") -> Iterator[str]:
    """All secrets in settings, or in the tree of one source. `key`: the name of this value."""
    if isinstance(value, Struct):
        value = {name: getattr(value, name) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from secrets_of(one, name)
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from secrets_of(one, key)
    elif key in SECRETS and isinstance(value, str) and value:
        yield value
    elif key in SECRET_ADDRESSES and isinstance(value, str):
        yield from secrets_of_origin(value)


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
