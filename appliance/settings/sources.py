"""Read the sources of the settings: files, credentials, environment variables, flags.

Each becomes a layer, whose values `checking.py` checks and `loader.py` merges.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_origin

from msgspec import Struct

from appliance import files
from appliance.errors import ConfigError
from appliance.settings.fields import Schema, field_types, type_hints

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Tree = dict[str, Any]
"""Settings as nested tables: {"server": {"port": 80}}."""

CREDENTIALS = "server.viewer_token, server.api_key, mqtt.password, cameras.NAME.token, webhooks.NAME.secret"
PREFIX = "APPLIANCE_"
_NOT_SETTINGS = {"APPLIANCE_CONFIG", "APPLIANCE_CONTROL", "APPLIANCE_TOKEN"}
_MAX_BYTES = 1_000_000
"""Limit for a settings file. The path may name a device by mistake, and a failing disk can corrupt a file's size."""
_HEADER = re.compile(r"\s*\[([^\[\]]+)\]")
_KEY = re.compile(r"\s*([\w.\"'-]+)\s*=")


class SettingsDenied(ConfigError):
    """This user may not read the settings file. The text is for a person who runs a command."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: cannot be read: Permission denied. Use sudo.")
        self.path = path

    def for_the_service(self) -> ConfigError:
        """The same error of a service, which cannot use sudo: what lets its group read the file."""
        folder = [] if os.access(self.path.parent, os.X_OK) else [str(self.path.parent)]
        closed = shlex.join([*folder, str(self.path)])
        return ConfigError(
            f"{self.path}: the service may not read it. "
            f"Run `sudo chgrp appliance {closed}`, then `sudo chmod g+rX {closed}`"
        )


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
    except PermissionError:
        raise SettingsDenied(path) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
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
        yield _of_text("command line", key, value, schema)


def merge(into: Tree, tree: Mapping[str, Any]) -> None:
    """Merge a tree into another one; its values win."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def _of_text(source: str, dotted: str, value: str, schema: Schema) -> Layer:
    """Convert `server.port`, "80" to {"server": {"port": "80"}}. Commas separate the items of a list."""
    section, _, key = dotted.partition(".")
    if not key:
        return Layer(source, {section: value}, from_text=True)
    kind = type_hints(schema).get(section)
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
            section = re.sub(r"[\"']", "", header[1].strip())
            numbers.setdefault(section, number)
        elif key := _KEY.match(line):
            name = re.sub(r"[\"']", "", key[1])
            numbers.setdefault(f"{section}.{name}" if section else name, number)
    return numbers
