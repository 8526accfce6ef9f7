"""The settings: what each one means, its unit, its bounds, and why it has its default.

Precedence, last wins: the default below, the profile, the TOML file, the environment, the flags. Everything is checked
before a port opens; an unknown key is an error that names where it stands and the nearest key that exists.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from appliance.errors import ConfigError, did_you_mean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Profile = Literal["development", "production", "realtime"]


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The network side."""

    host: Annotated[str, Meta(description="Address to listen on; 0.0.0.0 is every network the box is on.")] = "0.0.0.0"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 lets the system choose one.")] = 8080
    cors_origins: Annotated[
        tuple[str, ...],
        Meta(description="Web origins that may connect from a browser, '*' for all; empty: only the box's own page."),
    ] = ()
    ping_interval_s: Annotated[
        float, Meta(gt=0, description="Between two Socket.IO pings, s; 25 is what clients expect.")
    ] = 25.0
    ping_timeout_s: Annotated[
        float, Meta(gt=0, description="A client silent this long after a ping is gone, s; for slow radio links.")
    ] = 60.0
    max_frame_bytes: Annotated[
        int, Meta(ge=1000, le=64_000_000, description="Largest picture taken, bytes; 10 MB holds any 4K JPEG.")
    ] = 10_000_000
    compression: Annotated[
        bool, Meta(description="Compress text answers over HTTP and polling; pictures are never compressed again.")
    ] = True
    compression_min_bytes: Annotated[
        int, Meta(ge=0, description="Shorter answers are not worth compressing, bytes.")
    ] = 1024
    websocket_deflate: Annotated[
        bool,
        Meta(description="Offer permessage-deflate. Off: clients would deflate JPEGs with it, for mere heat."),
    ] = False
    max_connections: Annotated[int, Meta(ge=1, description="Socket.IO connections at once; more are refused.")] = 2000
    viewer_token: Annotated[
        str, Meta(description="If set, the page and `subscribe` need this token; empty: anyone may look.")
    ] = ""
    require_token: Annotated[
        bool, Meta(description="Refuse cameras that have no token of their own under [cameras.NAME].")
    ] = False
    api_key: Annotated[str, Meta(description="If set, /v1/vision needs it in its form as `api_key`.")] = ""
    drain_s: Annotated[float, Meta(ge=0, description="At shutdown, time given to frames already taken, s.")] = 3.0


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which network, and what counts as found."""

    name: Annotated[str, Meta(min_length=1, description="The bundle's folder name under `dir`.")] = "yolo11n"
    dir: Annotated[str, Meta(description="Folder that holds the bundles.")] = "models"
    min_confidence: Annotated[
        float, Meta(gt=0, lt=1, description="Lowest confidence reported unless a frame asks otherwise, 0-1.")
    ] = 0.25
    iou: Annotated[
        float, Meta(gt=0, le=1, description="Two boxes of a class that overlap more (IoU, 0-1) are one object.")
    ] = 0.7
    max_detections: Annotated[int, Meta(ge=1, le=3000, description="Most objects reported in a frame.")] = 300


class EngineSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What runs the network."""

    kind: Annotated[Literal["openvino"], Meta(description="The engine.")] = "openvino"
    device: Annotated[
        str, Meta(pattern=r"^(CPU|GPU(\.\d+)?|NPU|AUTO(:[A-Z.,0-9]+)?)$", description="CPU, GPU, NPU or AUTO.")
    ] = "CPU"
    precision: Annotated[
        Literal["", "f32", "f16", "bf16"],
        Meta(description="Arithmetic of the network; empty: the fastest that the chip has."),
    ] = ""
    threads: Annotated[int, Meta(ge=0, le=256, description="CPU threads for the network; 0: all we may use.")] = 0
    hint: Annotated[
        Literal["throughput", "latency"],
        Meta(description="throughput: several frames side by side; latency: all cores on one frame."),
    ] = "throughput"
    sizes: Annotated[
        int, Meta(ge=1, le=32, description="Input sizes kept compiled, about 40 MB each; least used goes first.")
    ] = 4
    exact_sizes: Annotated[
        bool, Meta(description="Wait for the best input size to compile, even where a nearly as good one is ready.")
    ] = False
    cache: Annotated[
        bool, Meta(description="Keep compiled networks on disk (.compiled in model.dir, 100 MB): starts faster.")
    ] = True


class Flow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How frames are let in and take turns."""

    max_side: Annotated[
        int, Meta(ge=64, le=2048, description="Longest side of the network's input, px; YOLO nano models know 640.")
    ] = 640
    min_interval_s: Annotated[
        float, Meta(ge=0, description="Between two frames of one camera, s; 0: its fair share of what the box can do.")
    ] = 0.0
    burst: Annotated[
        int, Meta(ge=1, le=100, description="Frames that may come early in a row before one is skipped, for jitter.")
    ] = 3
    max_age_s: Annotated[
        float, Meta(gt=0, description="A frame that waited longer is dropped as expired, s: late is as good as never.")
    ] = 2.0
    max_waiting: Annotated[
        int, Meta(ge=1, description="Cameras that may have a frame waiting; the next one is told `overloaded`.")
    ] = 256
    max_waiting_bytes: Annotated[
        int, Meta(ge=1_000_000, description="Memory of all waiting frames together, bytes.")
    ] = 64_000_000
    max_pixels: Annotated[
        int, Meta(ge=10_000, description="Largest picture taken, width x height; 40 million holds 8K.")
    ] = 40_000_000
    slow_frame_s: Annotated[
        float, Meta(gt=0, description="A frame that takes longer is a warning in the log, with its timings, s.")
    ] = 2.0
    scene_gate: Annotated[
        bool, Meta(description="Answer a frame like the last inferred one when nothing in the scene has changed.")
    ] = False
    refresh_s: Annotated[
        float, Meta(gt=0, le=3600, description="With scene_gate: infer at least this often all the same, s.")
    ] = 10.0
    jpeg_quality: Annotated[
        int, Meta(ge=30, le=95, description="JPEG quality asked of cameras; 80 costs no detections, 95 doubles size.")
    ] = 80


class Cache(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers kept for pictures that are the same to the last byte."""

    enabled: Annotated[bool, Meta(description="Keep answers at all.")] = True
    entries: Annotated[int, Meta(ge=1, description="Most answers kept.")] = 100
    max_bytes: Annotated[int, Meta(ge=10_000, description="Most memory they may take, bytes.")] = 2_000_000
    ttl_s: Annotated[float, Meta(gt=0, description="An answer is forgotten after this, s.")] = 60.0


class Governor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to slow down."""

    enabled: Annotated[bool, Meta(description="Act on heat and memory; off: only report them.")] = True
    target_temp_c: Annotated[
        float,
        Meta(ge=30, le=110, description="Keep the chip below this, °C; a Raspberry Pi throttles itself at 80."),
    ] = 75.0
    critical_temp_c: Annotated[
        float, Meta(ge=40, le=120, description="Stop inferring at this, °C; firmware cuts hard at 85.")
    ] = 84.0
    min_available_bytes: Annotated[
        int, Meta(ge=0, description="Free memory below which the box takes less work, bytes.")
    ] = 100_000_000


class Log(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is written where."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Least severe line written.")] = (
        "info"
    )


class Camera(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera by its name, `[cameras.NAME]`."""

    token: Annotated[str, Meta(description="What the camera must show to use this name; empty: nothing.")] = ""
    weight: Annotated[
        float, Meta(gt=0, le=100, description="Share of the engine against other cameras; 2 gets twice as much as 1.")
    ] = 1.0
    priority: Annotated[
        int, Meta(ge=0, le=9, description="Higher goes first whenever it has a frame; equal ones share by weight.")
    ] = 0
    min_interval_s: Annotated[float, Meta(ge=0, description="A slower pace for this camera alone, s.")] = 0.0


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of the appliance."""

    profile: Annotated[Profile, Meta(description="development, production or realtime: sets the defaults below.")] = (
        "production"
    )
    server: Server = Server()
    model: Model = Model()
    engine: EngineSettings = EngineSettings()
    flow: Flow = Flow()
    cache: Cache = Cache()
    governor: Governor = Governor()
    log: Log = Log()
    cameras: dict[str, Camera] = {}


PROFILES: dict[str, dict[str, dict[str, Any]]] = {
    "development": {
        "server": {"cors_origins": ["*"]},
        "flow": {"min_interval_s": 2.0, "max_side": 640},
        "cache": {"ttl_s": 300.0},
        "log": {"level": "debug"},
    },
    "production": {
        "flow": {"min_interval_s": 1.0},
        "log": {"level": "warning"},
    },
    "realtime": {
        "flow": {"min_interval_s": 0.0},
        "cache": {"ttl_s": 10.0},
    },
}

PREFIX = "APPLIANCE_"
_NOT_SETTINGS = {"APPLIANCE_CONFIG", "APPLIANCE_TOKEN"}


def load(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
) -> Settings:
    """Settings out of a TOML file, `APPLIANCE_SECTION_KEY` variables and `section.key` flags.

    Raises ConfigError, naming the source, the key and what was expected.
    """
    layers: list[tuple[str, dict[str, Any]]] = []
    if path is not None:
        layers.append((str(path), _read_toml(path)))
    layers += [(f"environment, {name}", tree) for name, tree in _environment(environ or {})]
    layers += [(f"--set {key}", _nest(key, value, f"--set {key}")) for key, value in (flags or {}).items()]
    for source, tree in layers:
        _check(source, tree)
    merged: dict[str, Any] = {}
    for _, tree in layers:
        _merge(merged, tree)
    profile = merged.get("profile", Settings().profile)
    tree = {"profile": profile}
    _merge(tree, PROFILES[profile])
    _merge(tree, merged)
    settings = msgspec.convert(tree, Settings, strict=False)
    _check_together(settings)
    return settings


def describe(settings: Settings) -> str:
    """The settings in force as TOML, each with its line of explanation."""
    lines = [f"# {_field_types(Settings)['profile'][1]}", f'profile = "{settings.profile}"']
    for section in (name for name in Settings.__struct_fields__ if name not in ("profile", "cameras")):
        lines += ["", f"[{section}]", *_describe_struct(getattr(settings, section))]
    for name, camera in settings.cameras.items():
        lines += ["", f"[cameras.{msgspec.json.encode(name).decode()}]", *_describe_struct(camera)]
    return "\n".join(lines) + "\n"


def _describe_struct(struct: Struct) -> Iterator[str]:
    for key, (_, doc) in _field_types(type(struct)).items():
        value = getattr(struct, key)
        if key in ("token", "viewer_token", "api_key") and value:
            value = "(set)"
        text = msgspec.json.encode(value).decode() if not isinstance(value, tuple) else _toml_list(value)
        yield f"# {doc}"
        yield f"{key} = {text}"


def _toml_list(items: tuple[Any, ...]) -> str:
    return "[" + ", ".join(msgspec.json.encode(item).decode() for item in items) + "]"


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from None


def _environment(environ: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, value in sorted(environ.items()):
        if not name.startswith(PREFIX) or name in _NOT_SETTINGS:
            continue
        section, _, key = name[len(PREFIX) :].lower().partition("_")
        dotted = f"{section}.{key}" if key else section
        yield name, _nest(dotted, value, f"environment, {name}")


def _nest(dotted: str, value: str, source: str) -> dict[str, Any]:
    """`server.port`, "80" -> {"server": {"port": "80"}}; commas separate what is a list."""
    section, _, key = dotted.partition(".")
    if not key:
        return {section: value}
    kind = Settings.__annotations__.get(section) and _sections().get(section)
    if kind is None or key not in _field_types(kind):
        _check(source, {section: {key: value}})
    assert kind is not None
    if get_origin(_field_types(kind)[key][0]) is tuple:
        return {section: {key: [item.strip() for item in value.split(",") if item.strip()]}}
    return {section: {key: value}}


def _sections() -> dict[str, type[Struct]]:
    hints = get_type_hints(Settings)
    return {name: kind for name, kind in hints.items() if isinstance(kind, type) and issubclass(kind, Struct)}


def _field_types(struct: type[Struct]) -> dict[str, tuple[Any, str]]:
    """Each field's bare type and its description."""
    fields: dict[str, tuple[Any, str]] = {}
    for name, hint in get_type_hints(struct, include_extras=True).items():
        if get_origin(hint) is Annotated:
            bare, meta = get_args(hint)[:2]
            fields[name] = (bare, meta.description or "")
        else:
            fields[name] = (hint, "")
    return fields


def _check(source: str, tree: Mapping[str, Any]) -> None:
    """Refuse what one source says wrongly, in that source's own words."""
    for key, value in tree.items():
        if key == "profile":
            hint, doc = get_type_hints(Settings, include_extras=True)[key], _field_types(Settings)[key][1]
            _check_value(source, key, value, hint, doc)
        elif key == "cameras":
            _check_table(source, key, value)
            for name, camera in value.items():
                _check_section(source, f"cameras.{name}", camera, Camera)
        elif key in _sections():
            _check_section(source, key, value, _sections()[key])
        else:
            raise _unknown(source, key, key, ["profile", "cameras", *_sections()])


def _check_section(source: str, where: str, tree: Any, kind: type[Struct]) -> None:
    _check_table(source, where, tree)
    fields = _field_types(kind)
    hints = get_type_hints(kind, include_extras=True)
    for key, value in tree.items():
        if key not in fields:
            raise _unknown(source, f"{where}.{key}", key, list(fields))
        _check_value(source, f"{where}.{key}", value, hints[key], fields[key][1])


def _check_table(source: str, where: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{source}: {where} is a section, not a value; write [{where}] and its keys below it")


def _check_value(source: str, where: str, value: Any, hint: Any, doc: str) -> None:
    from_text = source.startswith(("environment", "--set"))
    try:
        converted = msgspec.convert(value, hint, strict=not from_text)
        if isinstance(converted, float) and not math.isfinite(converted):
            raise msgspec.ValidationError("Expected a finite number")
    except msgspec.ValidationError as error:
        reason = str(error).split(" - at ")[0]
        note = f" ({doc})" if doc else ""
        raise ConfigError(f"{source}: {where} = {value!r}: {reason}{note}") from None


def _check_together(settings: Settings) -> None:
    """Refuse settings that contradict one another, whichever sources they come from."""
    target, critical = settings.governor.target_temp_c, settings.governor.critical_temp_c
    if critical <= target:
        raise ConfigError(
            f"governor.critical_temp_c = {critical:g} must be above governor.target_temp_c = {target:g}: "
            "the box slows down at the one and stops at the other"
        )


def _unknown(source: str, where: str, key: str, known: list[str]) -> ConfigError:
    hint = did_you_mean(key, known, cutoff=0.5) or f"; known here: {', '.join(sorted(known))}"
    return ConfigError(f"{source}: unknown key '{where}'{hint}")


def _merge(into: dict[str, Any], tree: Mapping[str, Any]) -> None:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def default_path() -> Path | None:
    """`$APPLIANCE_CONFIG`, else /etc/appliance/appliance.toml if there is one."""
    named = os.environ.get("APPLIANCE_CONFIG")
    if named:
        return Path(named)
    system = Path("/etc/appliance/appliance.toml")
    return system if system.exists() else None
