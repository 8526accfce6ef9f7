"""Load the settings from all sources.

Precedence, last wins: defaults, profile, TOML file, systemd credentials, environment, flags. All of them are checked
before a port opens.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from appliance import camera_names
from appliance.errors import ConfigError
from appliance.settings import checking, secrets, sources
from appliance.settings.fields import field_types
from appliance.settings.schema import PROFILES, Settings
from appliance.settings.schema.camera import CameraSettings, Outline, encloses_area
from appliance.settings.sources import Layer

_SYSTEM = Path("etc/appliance/appliance.toml")
"""The device's settings file, relative to the root."""
_SALVAGED = ("server", "tls", "access", "state")
"""Sections that stay in force, key by key, while other settings are invalid."""


def load(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
    checkout: Path | None = None,
) -> Settings:
    """Load a TOML file, `$CREDENTIALS_DIRECTORY`, `APPLIANCE_SECTION_KEY` variables and `section.key` flags.

    `checkout`: a repository whose `models/` and `.state/` are the default folders.

    Raises ConfigError with the source, the key and the accepted values.
    """
    layers, problems = _read(path, environ or {}, flags or {}, checkout)
    for problem in problems:
        raise problem
    return _merged(layers)


def problems(path: Path | None, environ: Mapping[str, str]) -> list[str]:
    """Everything that is wrong with the settings, one text for each error."""
    return [str(problem) for problem in _read(path, environ, {}, None)[1]]


def secrets_in(path: Path | None, environ: Mapping[str, str], flags: Mapping[str, str]) -> set[str]:
    """All secrets in the sources of the settings, also where other settings there are invalid."""
    return {one for layer in _read(path, environ, flags, None)[0] for one in secrets.secrets_of(layer.tree)}


def _read(
    path: Path | None, environ: Mapping[str, str], flags: Mapping[str, str], checkout: Path | None
) -> tuple[list[Layer], list[ConfigError]]:
    """All sources, weakest first, and all errors in them."""
    layers: list[Layer] = []
    problems: list[ConfigError] = []
    readers: tuple[Callable[[], Iterable[Layer]], ...] = (
        lambda: _defaults(path, environ, checkout),
        lambda: [sources.of_toml(path)] if path is not None else [],
        lambda: _credentials(environ),
        lambda: sources.of_environment(environ, Settings),
        lambda: sources.of_flags(flags, Settings),
    )
    for read in readers:
        try:
            layers += read()
        except ConfigError as error:
            problems.append(error)
    problems += [error for layer in layers for error in checking.errors_in(layer, Settings)]
    if not problems:
        problems += _contradictions(_merged(layers))
    return layers, problems


def _defaults(path: Path | None, environ: Mapping[str, str], checkout: Path | None) -> Iterable[Layer]:
    """Folders that do not depend on the current directory: those of an installed device, or of a checkout."""
    if path is not None and path.parts[-len(_SYSTEM.parts) :] == _SYSTEM.parts:
        yield Layer("device defaults", {"model": {"dir": str(path.parents[2] / "opt/appliance/models")}})
    elif checkout is not None:
        tree: sources.Tree = {"model": {"dir": str(checkout / "models")}}
        if not environ.get("STATE_DIRECTORY"):
            tree["state"] = {"dir": str(checkout / ".state")}
        yield Layer("checkout defaults", tree)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The settings to start with. `problem`: why they are not the configured ones."""

    settings: Settings
    problem: ConfigError | None = None

    def same(self, other: Chosen) -> bool:
        return self.settings == other.settings and str(self.problem) == str(other.problem)


def salvage(
    path: Path | None, environ: Mapping[str, str], flags: Mapping[str, str], checkout: Path | None = None
) -> Settings:
    """The defaults with the valid part of `[server]`, `[tls]`, `[access]` and `[state]`.

    So a device with invalid settings keeps its address, its certificate, its rules of access and its tokens.

    Raises ConfigError when the flags themselves are invalid: the person who typed them sees it.
    """
    for source in sources.of_flags(flags, Settings):
        checking.check(source, Settings)
    kept = Layer("valid part of the settings", {section: {} for section in _SALVAGED}, from_text=True)
    readers: tuple[Callable[[], Iterable[Layer]], ...] = (
        lambda: [sources.of_toml(path)] if path is not None else [],
        lambda: _credentials(environ),
        lambda: sources.of_environment(environ, Settings),
    )
    for read in readers:
        with contextlib.suppress(ConfigError):
            for source in read():
                _keep_valid(source, kept.tree)
    tls = kept.tree["tls"]
    if bool(tls.get("certificate")) != bool(tls.get("key")):  # half of a pair
        tls.pop("certificate", None)
        tls.pop("key", None)
    return _merged([*_defaults(path, environ, checkout), kept, *sources.of_flags(flags, Settings)])


def _keep_valid(source: Layer, kept: sources.Tree) -> None:
    for name in _SALVAGED:
        section = source.tree.get(name)
        for key, value in section.items() if isinstance(section, Mapping) else ():
            with contextlib.suppress(ConfigError):
                checking.check(replace(source, tree={name: {key: value}}), Settings)
                kept[name][key] = value


def _credentials(environ: Mapping[str, str]) -> Iterable[Layer]:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    return sources.of_credentials(Path(folder)) if folder else ()


def _merged(layers: Iterable[Layer]) -> Settings:
    merged: sources.Tree = {}
    for source in layers:
        sources.merge(merged, source.tree)
    profile = merged.get("profile", Settings().profile)
    tree: sources.Tree = {"profile": profile}
    sources.merge(tree, PROFILES[profile])
    sources.merge(tree, merged)
    return msgspec.convert(tree, Settings, strict=False)


def describe(settings: Settings) -> str:
    """The effective settings as TOML, each with its description as a comment."""
    lines = [f"# {field_types(Settings)['profile'][1]}", f'profile = "{settings.profile}"']
    for section in (name for name in Settings.__struct_fields__ if name != "profile"):
        lines += _describe_sections(section, getattr(settings, section))
    return "\n".join(lines) + "\n"


def _describe_sections(path: str, value: Struct | dict[str, Any]) -> Iterator[str]:
    """A section and those below it, or each section of a table of sections by name."""
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from _describe_sections(f"{path}.{msgspec.json.encode(name).decode()}", entry)
        return
    yield from ("", f"[{path}]", *_describe_values(value))
    for key in value.__struct_fields__:
        if isinstance(below := getattr(value, key), (Struct, dict)):
            yield from _describe_sections(f"{path}.{key}", below)


def _describe_values(struct: Struct) -> Iterator[str]:
    for key, (_, doc) in field_types(type(struct)).items():
        value = getattr(struct, key)
        if isinstance(value, (Struct, dict)):
            continue
        value = secrets.shown(key, value)
        text = msgspec.json.encode(value).decode() if not isinstance(value, tuple) else _toml_list(value)
        yield f"# {doc}"
        yield f"{key} = {text}"


def _toml_list(items: tuple[Any, ...]) -> str:
    return "[" + ", ".join(msgspec.json.encode(item).decode() for item in items) + "]"


def _contradictions(settings: Settings) -> Iterator[ConfigError]:
    """Settings that contradict each other across sources."""
    target, critical = settings.governor.target_temp_c, settings.governor.critical_temp_c
    if critical <= target:
        yield ConfigError(
            f"governor.critical_temp_c = {critical:g} must be above governor.target_temp_c = {target:g}: "
            "the device reduces its load at the target and pauses inference at the critical temperature"
        )
    for text in settings.server.trusted_proxies:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            yield ConfigError(f"server.trusted_proxies: {error}. Write an address, or a network like 10.0.0.0/8")
    if settings.site.agent_port and not settings.server.trusted_proxies:
        yield ConfigError(
            "site.agent_port is set and server.trusted_proxies is empty: name the addresses of the fronts there. "
            "Otherwise all cameras seem to have the address of the front, and none can be moved"
        )
    if settings.engine.kind == "kserve" and not settings.engine.server:
        yield ConfigError("engine.kind is kserve and engine.server is empty: set it to the inference server's address, "
                          "such as grpc://10.0.0.9:9000")  # fmt: skip
    if settings.engine.kind == "kserve" and settings.engine.server_timeout_s > settings.flow.deadline_s / 2:
        yield ConfigError(
            f"engine.server_timeout_s = {settings.engine.server_timeout_s:g} must be at most half of flow.deadline_s = "
            f"{settings.flow.deadline_s:g}, so that this device can still infer a frame that the server did not answer"
        )
    if bool(settings.tls.certificate) != bool(settings.tls.key):
        missing = "tls.key" if settings.tls.certificate else "tls.certificate"
        yield ConfigError(f"{missing} is not set: tls.certificate and tls.key belong together. Set both, or neither")
    known: dict[str, str] = {}
    for written, camera in settings.cameras.items():
        name = camera_names.normal(written)
        if name is None:
            yield ConfigError(f"[cameras.{written!r}]: invalid camera name: {camera_names.RULE}")
        elif name in known:
            yield ConfigError(f"[cameras.{written!r}] and [cameras.{known[name]!r}] name the same camera; remove one")
        else:
            known[name] = written
        yield from _area_errors(f"cameras.{written}", camera)


def _area_errors(where: str, camera: CameraSettings) -> Iterator[ConfigError]:
    areas: dict[str, Outline] = {f"zones.{name}": zone.points for name, zone in camera.zones.items()}
    areas |= {f"masks.{name}": mask.points for name, mask in camera.masks.items()}
    for name, points in areas.items():
        if not encloses_area(points):
            yield ConfigError(
                f"{where}.{name}.points = {[list(point) for point in points]}: encloses no area. "
                "Give at least three corners [x, y] in parts of the picture, such as [[0, 0], [1, 0], [1, 0.5]]"
            )
    for name, limits in camera.filters.items():
        if limits.min_share > limits.max_share:
            yield ConfigError(
                f"{where}.filters.{name}: min_share = {limits.min_share:g} must not be above "
                f"max_share = {limits.max_share:g}"
            )


def default_path(environ: Mapping[str, str] = os.environ, root: Path = Path("/")) -> Path | None:
    """`$APPLIANCE_CONFIG`, else /etc/appliance/appliance.toml if it exists or its folder is not accessible."""
    named = environ.get("APPLIANCE_CONFIG")
    if named:
        return Path(named)
    system = root / _SYSTEM
    try:
        return system if system.exists() else None
    except PermissionError:
        return system  # reading it says what to do
