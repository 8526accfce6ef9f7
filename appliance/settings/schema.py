"""The settings: what each one means, its unit, its bounds, and why it has its default."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

HostName = Annotated[str, Meta(pattern=r"^(\*|\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)$", max_length=253)]
Profile = Literal["development", "production", "realtime"]


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The network side."""

    host: Annotated[str, Meta(description="Address to listen on; 0.0.0.0 is every network the box is on.")] = "0.0.0.0"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 lets the system choose one.")] = 8080
    cors_origins: Annotated[
        tuple[str, ...],
        Meta(description="Web origins that may connect from a browser, '*' for all; empty: only the box's own page."),
    ] = ()
    allowed_hosts: Annotated[
        tuple[HostName, ...],
        Meta(
            max_length=100,
            description="More names that clients use for this device, `.example.com` for all below it, `*` for any "
            "(which lets DNS rebinding in). Addresses, its own name, .local and names without a dot always work.",
        ),
    ] = ()
    ping_interval_s: Annotated[
        float, Meta(ge=1, le=300, description="Between two Socket.IO pings, s; 25 is what clients expect.")
    ] = 25.0
    ping_timeout_s: Annotated[
        float,
        Meta(ge=1, le=600, description="A client silent this long after a ping is gone, s; for slow radio links."),
    ] = 60.0
    max_frame_bytes: Annotated[
        int, Meta(ge=1000, le=64_000_000, description="Largest picture taken, bytes; 10 MB holds any 4K JPEG.")
    ] = 10_000_000
    compression: Annotated[
        bool, Meta(description="Compress text answers over HTTP and polling; pictures are never compressed again.")
    ] = True
    compression_min_bytes: Annotated[
        int, Meta(ge=0, le=100_000_000, description="Shorter answers are not worth compressing, bytes.")
    ] = 1024
    websocket_deflate: Annotated[
        bool,
        Meta(description="Offer permessage-deflate. Off: clients would deflate JPEGs with it, for mere heat."),
    ] = False
    max_connections: Annotated[
        int, Meta(ge=1, le=100_000, description="Socket.IO connections at once; more are refused.")
    ] = 2000
    max_connections_per_address: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="TCP connections from one address; more for a proxy elsewhere. Loopback has no limit.",
        ),
    ] = 500
    max_unfinished_bytes: Annotated[
        int,
        Meta(
            ge=1_000_000,
            le=4_000_000_000,
            description="Memory for messages still arriving, all clients together, bytes; at least two messages.",
        ),
    ] = 64_000_000
    header_timeout_s: Annotated[
        float,
        Meta(
            ge=1,
            le=300,
            description="For a request's headers, and for CONNECT after a handshake, s; radio links take 2.",
        ),
    ] = 10.0
    message_timeout_s: Annotated[
        float,
        Meta(
            ge=2, le=3600, description="For a whole body or message, s; 10 MB at 1.5 Mbit/s. A quarter without a byte."
        ),
    ] = 60.0
    idle_timeout_s: Annotated[
        float,
        Meta(ge=1, le=86_400, description="An HTTP connection without a request is closed after this, s; as in nginx."),
    ] = 75.0
    viewer_token: Annotated[
        str, Meta(description="If set, the page and `subscribe` need this token; empty: anyone may look.")
    ] = ""
    require_token: Annotated[
        bool, Meta(description="Refuse cameras that have no token of their own under [cameras.NAME].")
    ] = False
    api_key: Annotated[str, Meta(description="If set, /v1/vision needs it in its form as `api_key`.")] = ""
    keep_pictures: Annotated[
        bool,
        Meta(
            description="Keep each camera's newest picture for /cameras/NAME/latest.jpg also while nobody watches it, "
            "32 MB in all. Off: pictures leave memory as soon as they are answered."
        ),
    ] = False
    advertise: Annotated[
        bool, Meta(description="Announce the box by multicast DNS, so that cameras find it; needs the extra 'mdns'.")
    ] = False
    drain_s: Annotated[
        float,
        Meta(ge=0, le=600, description="At shutdown, time given to frames already taken, s; systemd waits for 15."),
    ] = 3.0


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

    kind: Annotated[
        str,
        Meta(
            pattern=r"^[a-z][a-z0-9_-]*$",
            description="The engine: openvino, onnxruntime, tensorrt, or another package's.",
        ),
    ] = "openvino"
    device: Annotated[
        str, Meta(pattern=r"^(CPU|GPU(\.\d+)?|NPU|AUTO(:[A-Z.,0-9]+)?)$", description="CPU, GPU, NPU or AUTO.")
    ] = "CPU"
    precision: Annotated[
        Literal["", "f32", "f16", "bf16"],
        Meta(description="Arithmetic of the network; empty: the fastest that the chip has."),
    ] = ""
    threads: Annotated[int, Meta(ge=0, le=256, description="CPU threads for the network; 0: all we may use.")] = 0
    hint: Annotated[
        Literal["auto", "throughput", "latency"],
        Meta(description="throughput: frames side by side; latency: all cores on one; auto: on one that is alone."),
    ] = "auto"
    sizes: Annotated[
        int,
        Meta(
            ge=1,
            le=32,
            description="Input sizes with a network of their own, 40 MB each; more for cameras of several shapes.",
        ),
    ] = 1
    cache: Annotated[
        bool, Meta(description="Keep compiled networks on disk (.compiled in model.dir, 100 MB): starts faster.")
    ] = True


class Flow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How frames are let in and take turns."""

    max_side: Annotated[
        int, Meta(ge=64, le=2048, description="Longest side of the network's input, px; YOLO nano models know 640.")
    ] = 640
    min_interval_s: Annotated[
        float,
        Meta(
            ge=0, le=3600, description="Between two frames of one camera, s; 0: its fair share of what the box can do."
        ),
    ] = 0.0
    burst: Annotated[
        int, Meta(ge=1, le=100, description="Frames that may come early in a row before one is skipped, for jitter.")
    ] = 3
    max_age_s: Annotated[
        float,
        Meta(
            ge=0.01,
            le=600,
            description="A frame that waited longer is dropped as expired, s: late is as good as never.",
        ),
    ] = 2.0
    max_waiting: Annotated[
        int,
        Meta(ge=1, le=100_000, description="Cameras that may have a frame waiting; the next one is told `overloaded`."),
    ] = 256
    max_waiting_bytes: Annotated[
        int, Meta(ge=1_000_000, le=16_000_000_000, description="Memory of all waiting frames together, bytes.")
    ] = 64_000_000
    max_pixels: Annotated[
        int,
        Meta(ge=10_000, le=1_000_000_000, description="Largest picture taken, width x height; 40 million holds 8K."),
    ] = 40_000_000
    deadline_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=600,
            description="Looking at one frame takes no longer unless the engine hangs, s; then: restart.",
        ),
    ] = 20.0
    slow_frame_s: Annotated[
        float,
        Meta(ge=0.001, le=600, description="A frame that takes longer is a warning in the log, with its timings, s."),
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
    entries: Annotated[int, Meta(ge=1, le=100_000, description="Most answers kept.")] = 100
    max_bytes: Annotated[int, Meta(ge=10_000, le=4_000_000_000, description="Most memory they may take, bytes.")] = (
        2_000_000
    )
    ttl_s: Annotated[float, Meta(ge=0.1, le=86_400, description="An answer is forgotten after this, s.")] = 60.0


class Governor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to slow down; docs/governor.md tells how."""

    enabled: Annotated[bool, Meta(description="Act on heat and memory; off: only report them.")] = True
    target_temp_c: Annotated[
        float,
        Meta(
            ge=30,
            le=110,
            description="Keep the chip below this and 3 below its own trip point, °C; a Raspberry Pi throttles at 80.",
        ),
    ] = 77.0
    critical_temp_c: Annotated[
        float, Meta(ge=40, le=120, description="Stop inferring at this, °C; firmware cuts hard at 85.")
    ] = 84.0
    min_available_bytes: Annotated[
        int,
        Meta(
            ge=0,
            le=64_000_000_000,
            description="Free memory below which frames go one at a time, bytes; at twice this the cache is emptied.",
        ),
    ] = 100_000_000


class Log(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is written where."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Least severe line written.")] = (
        "info"
    )


class State(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What outlives the service."""

    dir: Annotated[
        str,
        Meta(description="Folder for it; empty: systemd's $STATE_DIRECTORY, else ~/.local/state/appliance."),
    ] = ""
    history: Annotated[
        bool, Meta(description="Save the last day's history there once a minute, so that a restart keeps it.")
    ] = True


class Camera(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera by its name, `[cameras.NAME]`."""

    token: Annotated[str, Meta(description="What the camera must show to use this name; empty: nothing.")] = ""
    weight: Annotated[
        float, Meta(gt=0, le=100, description="Share of the engine against other cameras; 2 gets twice as much as 1.")
    ] = 1.0
    priority: Annotated[
        int, Meta(ge=0, le=9, description="Higher goes first whenever it has a frame; equal ones share by weight.")
    ] = 0
    min_interval_s: Annotated[float, Meta(ge=0, le=3600, description="A slower pace for this camera alone, s.")] = 0.0


class CameraAgent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `appliance camera` does on the camera's side; a token is in `token_file` or in $APPLIANCE_TOKEN."""

    to: Annotated[
        str, Meta(description="The box, http://box:8080; empty: the one that mDNS finds on this network.")
    ] = ""
    name: Annotated[str, Meta(description="This camera's name at the box; empty: the host's name.")] = ""
    source: Annotated[
        str,
        Meta(
            description="demo, picamera, a folder of pictures, a video, /dev/video0, rtsp://… or http://…; env:NAME or "
            "@FILE: it stands there."
        ),
    ] = "demo"
    rtsp_transport: Annotated[
        Literal["auto", "tcp", "udp"],
        Meta(
            description="How RTSP pictures come; auto: TCP, and UDP where the camera refuses it, as UDP loses pieces."
        ),
    ] = "auto"
    token_file: Annotated[
        str, Meta(description="File with the camera's token, read at each connection; empty: $APPLIANCE_TOKEN.")
    ] = ""
    save_dir: Annotated[str, Meta(description="Keep pictures that have something in them here; empty: none.")] = ""
    save_max_bytes: Annotated[
        int,
        Meta(
            ge=1_000_000,
            le=100_000_000_000_000,
            description="Most that these pictures take together, bytes; the oldest go first.",
        ),
    ] = 1_000_000_000
    command_interval_s: Annotated[
        float,
        Meta(ge=0, le=86_400, description="Between two starts of the command of `--on`, s; one runs at a time anyway."),
    ] = 10.0


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
