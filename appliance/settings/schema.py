"""The settings: meaning, unit, bounds, and the reason for each default."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

HostName = Annotated[str, Meta(pattern=r"^(\*|\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)$", max_length=253)]
Profile = Literal["development", "production", "realtime"]


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP and Socket.IO server."""

    host: Annotated[str, Meta(description="Address to listen on; 0.0.0.0: all networks.")] = "0.0.0.0"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 lets the system choose one.")] = 8080
    cors_origins: Annotated[
        tuple[str, ...],
        Meta(description="Web origins that browsers may connect from, '*' for all; empty: only the device's own page."),
    ] = ()
    allowed_hosts: Annotated[
        tuple[HostName, ...],
        Meta(
            max_length=100,
            description="Additional host names of this device; `.example.com`: all its subdomains, `*`: any, which "
            "allows DNS rebinding. IP addresses, the host name, .local and names without a dot are always allowed.",
        ),
    ] = ()
    ping_interval_s: Annotated[
        float, Meta(ge=1, le=300, description="Time between two Socket.IO pings, s; 25 is the protocol's default.")
    ] = 25.0
    ping_timeout_s: Annotated[
        float,
        Meta(
            ge=1,
            le=600,
            description="Time for a client to answer a ping, s; long enough for slow radio links.",
        ),
    ] = 60.0
    max_frame_bytes: Annotated[
        int,
        Meta(ge=1000, le=64_000_000, description="Largest picture accepted, bytes; 10 MB fits any 4K JPEG."),
    ] = 10_000_000
    compression: Annotated[
        bool, Meta(description="Compress text responses over HTTP and polling; pictures are never compressed again.")
    ] = True
    compression_min_bytes: Annotated[
        int,
        Meta(ge=0, le=100_000_000, description="Smallest response to compress, bytes."),
    ] = 1024
    websocket_deflate: Annotated[
        bool,
        Meta(description="Offer permessage-deflate. Off: deflating JPEGs costs CPU and saves nothing."),
    ] = False
    max_connections: Annotated[
        int, Meta(ge=1, le=100_000, description="Largest number of Socket.IO connections; more are refused.")
    ] = 2000
    max_connections_per_address: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Largest number of TCP connections from one address; raise it for a proxy on another machine.",
        ),
    ] = 500
    max_unfinished_bytes: Annotated[
        int,
        Meta(
            ge=1_000_000,
            le=4_000_000_000,
            description="Memory for messages that are still arriving, of all clients together, bytes.",
        ),
    ] = 64_000_000
    header_timeout_s: Annotated[
        float,
        Meta(
            ge=1,
            le=300,
            description="Longest time for headers, or from the handshake to CONNECT, s; radio links take 2.",
        ),
    ] = 10.0
    message_timeout_s: Annotated[
        float,
        Meta(ge=2, le=3600, description="Longest time for a whole body or message, s; enough for 10 MB at 1.5 Mbit/s."),
    ] = 60.0
    idle_timeout_s: Annotated[
        float,
        Meta(
            ge=1,
            le=86_400,
            description="Close an idle HTTP connection after this time, s; as nginx does.",
        ),
    ] = 75.0
    viewer_token: Annotated[
        str, Meta(description="Token for the page's pictures and for `subscribe`; empty: anyone may watch.")
    ] = ""
    require_token: Annotated[bool, Meta(description="Refuse cameras that have no token under [cameras.NAME].")] = False
    api_key: Annotated[str, Meta(description="Key that /v1/vision clients send as `api_key`; empty: none.")] = ""
    keep_pictures: Annotated[
        bool,
        Meta(
            description="Keep each camera's latest picture for /cameras/NAME/latest.jpg even when nobody watches, "
            "32 MB in total. Off, so that pictures leave memory as soon as they are answered."
        ),
    ] = False
    advertise: Annotated[
        bool, Meta(description="Announce the device by multicast DNS, so that cameras find it; needs the extra 'mdns'.")
    ] = False
    drain_s: Annotated[
        float,
        Meta(ge=0, le=600, description="Time to answer frames in flight at shutdown, s; systemd allows 15."),
    ] = 3.0


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The detection model and its thresholds."""

    name: Annotated[str, Meta(min_length=1, description="Name of the model: a folder in `dir`.")] = "yolo11n"
    dir: Annotated[str, Meta(description="Folder of the models.")] = "models"
    min_confidence: Annotated[
        float, Meta(gt=0, lt=1, description="Lowest confidence reported, unless the frame sets its own, 0-1.")
    ] = 0.25
    iou: Annotated[
        float, Meta(gt=0, le=1, description="Overlap (IoU, 0-1) above which two boxes of a class count as one object.")
    ] = 0.7
    max_detections: Annotated[int, Meta(ge=1, le=3000, description="Largest number of detections in a frame.")] = 300


class EngineSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The inference engine."""

    kind: Annotated[
        str,
        Meta(
            pattern=r"^[a-z][a-z0-9_-]*$",
            description="openvino, onnxruntime, tensorrt, or the engine of another package.",
        ),
    ] = "openvino"
    device: Annotated[
        str, Meta(pattern=r"^(CPU|GPU(\.\d+)?|NPU|AUTO(:[A-Z.,0-9]+)?)$", description="CPU, GPU, NPU or AUTO.")
    ] = "CPU"
    precision: Annotated[
        Literal["", "f32", "f16", "bf16"],
        Meta(description="Numeric precision; empty: the fastest that the chip supports."),
    ] = ""
    threads: Annotated[int, Meta(ge=0, le=256, description="CPU threads for inference; 0: all available.")] = 0
    hint: Annotated[
        Literal["auto", "throughput", "latency"],
        Meta(description="throughput: frames in parallel; latency: all cores for one frame; auto: as the load is."),
    ] = "auto"
    sizes: Annotated[
        int,
        Meta(
            ge=1,
            le=32,
            description="Input sizes compiled separately, about 40 MB each; raise it for cameras of different shapes.",
        ),
    ] = 1
    cache: Annotated[
        bool, Meta(description="Keep compiled models on disk (.compiled in model.dir, 100 MB), for faster starts.")
    ] = True


class Flow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Admission, queueing and sharing of frames."""

    max_side: Annotated[
        int,
        Meta(ge=64, le=2048, description="Longest side of the model's input, px; YOLO is trained at 640."),
    ] = 640
    min_interval_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="Shortest time between two frames of a camera, s; 0: its fair share.",
        ),
    ] = 0.0
    burst: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Frames that may arrive early in a row, to allow for jitter.",
        ),
    ] = 3
    max_age_s: Annotated[
        float,
        Meta(
            ge=0.01,
            le=600,
            description="Drop a frame as expired after waiting this long, s; a late answer has no value.",
        ),
    ] = 2.0
    max_waiting: Annotated[
        int,
        Meta(ge=1, le=100_000, description="Largest number of cameras with a waiting frame; more get `overloaded`."),
    ] = 256
    max_waiting_bytes: Annotated[
        int, Meta(ge=1_000_000, le=16_000_000_000, description="Memory for all waiting frames together, bytes.")
    ] = 64_000_000
    max_pixels: Annotated[
        int,
        Meta(
            ge=10_000,
            le=1_000_000_000,
            description="Largest picture accepted, width x height; 40 million fits 8K.",
        ),
    ] = 40_000_000
    deadline_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=600,
            description="Time after which an inference counts as hung, s; the watchdog then restarts the service.",
        ),
    ] = 20.0
    slow_frame_s: Annotated[
        float,
        Meta(ge=0.001, le=600, description="Log a frame that takes longer as a warning, with its timings, s."),
    ] = 2.0
    scene_gate: Annotated[bool, Meta(description="Repeat the last answer while nothing in the scene has changed.")] = (
        False
    )
    refresh_s: Annotated[
        float, Meta(gt=0, le=3600, description="With scene_gate: run inference at least this often, s.")
    ] = 10.0
    jpeg_quality: Annotated[
        int,
        Meta(
            ge=30,
            le=95,
            description="JPEG quality requested from cameras; 80 loses no detections.",
        ),
    ] = 80


class Cache(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The cache of answers to byte-identical pictures."""

    enabled: Annotated[bool, Meta(description="Use the cache.")] = True
    entries: Annotated[int, Meta(ge=1, le=100_000, description="Largest number of answers kept.")] = 100
    max_bytes: Annotated[int, Meta(ge=10_000, le=4_000_000_000, description="Largest memory of the cache, bytes.")] = (
        2_000_000
    )
    ttl_s: Annotated[float, Meta(ge=0.1, le=86_400, description="Time after which an answer is dropped, s.")] = 60.0


class Governor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to slow down; see docs/governor.md."""

    enabled: Annotated[bool, Meta(description="Act on temperature and memory; off: only report them.")] = True
    target_temp_c: Annotated[
        float,
        Meta(
            ge=30,
            le=110,
            description="Keep the chip below this, and 3 °C below its trip point, °C; a Raspberry Pi throttles at 80.",
        ),
    ] = 77.0
    critical_temp_c: Annotated[
        float,
        Meta(
            ge=40,
            le=120,
            description="Stop inference at this, °C; a Raspberry Pi throttles hard at 85.",
        ),
    ] = 84.0
    min_available_bytes: Annotated[
        int,
        Meta(
            ge=0,
            le=64_000_000_000,
            description="Process one frame at a time below this much free memory, bytes; twice this: drop the cache.",
        ),
    ] = 100_000_000


class Log(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Logging."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Lowest severity logged.")] = "info"


class State(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Data that survives a restart."""

    dir: Annotated[
        str,
        Meta(description="Folder of the data; empty: $STATE_DIRECTORY of systemd, otherwise ~/.local/state/appliance."),
    ] = ""
    history: Annotated[bool, Meta(description="Save the history of the last day once a minute.")] = True


class Camera(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera, `[cameras.NAME]`."""

    token: Annotated[str, Meta(description="Token that a client must present to use this name; empty: none.")] = ""
    weight: Annotated[
        float,
        Meta(gt=0, le=100, description="Share of the engine relative to others; 2 gets twice as much as 1."),
    ] = 1.0
    priority: Annotated[
        int, Meta(ge=0, le=9, description="Higher priorities go first; equal ones share by weight.")
    ] = 0
    min_interval_s: Annotated[float, Meta(ge=0, le=3600, description="Shortest time between two frames, s.")] = 0.0


class CameraAgent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The camera agent, `appliance camera`; its token comes from `token_file` or $APPLIANCE_TOKEN."""

    to: Annotated[
        str,
        Meta(description="URL of the device, http://device:8080; empty: found by mDNS."),
    ] = ""
    name: Annotated[str, Meta(description="Name of this camera; empty: the host name.")] = ""
    source: Annotated[
        str,
        Meta(
            description="demo, picamera, a folder of pictures, a video, /dev/video0, rtsp://… or http://…; env:NAME or "
            "@FILE: read the address from there."
        ),
    ] = "demo"
    rtsp_transport: Annotated[
        Literal["auto", "tcp", "udp"],
        Meta(description="RTSP transport; auto: TCP, which loses no packets, or UDP if the camera refuses TCP."),
    ] = "auto"
    token_file: Annotated[
        str, Meta(description="File with the token, read at each connection; empty: $APPLIANCE_TOKEN.")
    ] = ""
    save_dir: Annotated[str, Meta(description="Folder to save pictures with detections in; empty: save none.")] = ""
    save_max_bytes: Annotated[
        int,
        Meta(
            ge=1_000_000,
            le=100_000_000_000_000,
            description="Largest total size of saved pictures, bytes; the oldest are deleted first.",
        ),
    ] = 1_000_000_000
    command_interval_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="Shortest time between two runs of the `--on` command, s; one runs at a time.",
        ),
    ] = 10.0


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of the appliance."""

    profile: Annotated[Profile, Meta(description="development, production or realtime; sets other defaults.")] = (
        "production"
    )
    server: Server = Server()
    model: Model = Model()
    engine: EngineSettings = EngineSettings()
    flow: Flow = Flow()
    cache: Cache = Cache()
    governor: Governor = Governor()
    log: Log = Log()
    state: State = State()
    camera: CameraAgent = CameraAgent()
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
