"""Settings schema: the meaning, unit, bounds and default of each setting.

One file, because `appliance config show` prints the sections in this order and with these descriptions.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from appliance.settings.requirements import FORM

HostName = Annotated[
    str,
    Meta(
        pattern=r"^(\*|\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)$",
        max_length=253,
        extra={FORM: "a host name without scheme and port, such as device.example.com"},
    ),
]
ProfileName = Literal["development", "production", "realtime"]


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """HTTP and Socket.IO server."""

    host: Annotated[str, Meta(description="Listen address. 0.0.0.0: all IPv4 interfaces.")] = "0.0.0.0"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port. 0: the system chooses a free one.")] = 8080
    cors_origins: Annotated[
        tuple[str, ...],
        Meta(description="Web origins that may connect from a browser; '*': any. Empty: only the device's own page."),
    ] = ()
    allowed_hosts: Annotated[
        tuple[HostName, ...],
        Meta(
            max_length=100,
            description="Additional host names of this device. `.example.com`: all its subdomains. `*`: any name, "
            "which permits DNS rebinding. Always accepted: IP addresses, the host name, .local, names without a dot.",
        ),
    ] = ()
    ping_interval_s: Annotated[
        float, Meta(ge=1, le=300, description="Interval between Socket.IO pings, s. 25 is the Socket.IO default.")
    ] = 25.0
    ping_timeout_s: Annotated[
        float,
        Meta(
            ge=1,
            le=600,
            description="Disconnect a client that does not answer a ping in time, s. 60 suits slow radio links.",
        ),
    ] = 60.0
    max_frame_bytes: Annotated[
        int,
        Meta(
            ge=1000, le=64_000_000, description="Maximum size of an image file, bytes. 10 MB is enough for any 4K JPEG."
        ),
    ] = 10_000_000
    compression: Annotated[
        bool, Meta(description="Compress text responses over HTTP and polling. Images are never compressed again.")
    ] = True
    compression_min_bytes: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000_000,
            description="Minimum size of a response to compress, bytes. Smaller ones gain nothing.",
        ),
    ] = 1024
    websocket_deflate: Annotated[
        bool,
        Meta(
            description="Offer permessage-deflate. Off: clients would also deflate JPEGs, which costs CPU for nothing."
        ),
    ] = False
    max_connections: Annotated[
        int, Meta(ge=1, le=100_000, description="Maximum number of Socket.IO connections. More are refused.")
    ] = 2000
    max_connections_per_address: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Maximum number of TCP connections from one address. Raise it for a reverse proxy on another "
            "host. 127.0.0.1 and ::1 have no limit.",
        ),
    ] = 500
    max_unfinished_bytes: Annotated[
        int,
        Meta(
            ge=1_000_000,
            le=4_000_000_000,
            description="Memory for partially received messages of all clients, bytes. Two messages always fit.",
        ),
    ] = 64_000_000
    header_timeout_s: Annotated[
        float,
        Meta(
            ge=1,
            le=300,
            description="Time limit for request headers, and for CONNECT after a handshake, s. Radio links need 2.",
        ),
    ] = 10.0
    message_timeout_s: Annotated[
        float,
        Meta(
            ge=2,
            le=3600,
            description="Time limit for a whole body or message, s. 60 is 10 MB at 1.5 Mbit/s. "
            "A sender that is silent for a quarter of it is disconnected.",
        ),
    ] = 60.0
    idle_timeout_s: Annotated[
        float,
        Meta(
            ge=1,
            le=86_400,
            description="Close an HTTP connection without a request after this time, s. 75 is the nginx default.",
        ),
    ] = 75.0
    viewer_token: Annotated[
        str, Meta(description="Token that the page and `subscribe` require. Empty: anyone can view.")
    ] = ""
    require_token: Annotated[bool, Meta(description="Refuse cameras that have no token under [cameras.NAME].")] = False
    api_key: Annotated[
        str, Meta(description="Key that /v1/vision requires in the form field `api_key`. Empty: no key.")
    ] = ""
    keep_pictures: Annotated[
        bool,
        Meta(
            description="Keep the latest image of each camera for /cameras/NAME/latest.jpg while it has no viewers, "
            "up to 32 MB in total. Off: images are released after inference."
        ),
    ] = False
    advertise: Annotated[
        bool,
        Meta(description="Announce the device by multicast DNS, so that cameras find it. Requires the extra 'mdns'."),
    ] = False
    drain_s: Annotated[
        float,
        Meta(
            ge=0,
            le=600,
            description="Time at shutdown to finish accepted frames, s. systemd kills the service after 15.",
        ),
    ] = 3.0


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Model, and what counts as a detection."""

    name: Annotated[str, Meta(min_length=1, description="Folder name of the model bundle in `dir`.")] = "yolo11n"
    dir: Annotated[str, Meta(description="Folder of the model bundles.")] = "models"
    min_confidence: Annotated[
        float, Meta(gt=0, lt=1, description="Minimum confidence of a detection, 0-1. A frame can override it.")
    ] = 0.25
    iou: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Boxes of one class that overlap more than this (IoU, 0-1) are merged into one detection.",
        ),
    ] = 0.7
    max_detections: Annotated[int, Meta(ge=1, le=3000, description="Maximum number of detections per frame.")] = 300


class EngineSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Inference engine."""

    kind: Annotated[
        str,
        Meta(
            pattern=r"^[a-z][a-z0-9_-]*$",
            extra={FORM: "the name of an engine in lower case, such as openvino"},
            description="Inference engine: openvino, onnxruntime, tensorrt, or one that another package provides.",
        ),
    ] = "openvino"
    device: Annotated[
        str,
        Meta(
            pattern=r"^(CPU|GPU(\.\d+)?|NPU|AUTO(:[A-Z.,0-9]+)?)$",
            extra={FORM: "CPU, GPU, NPU, AUTO, or a form of them such as GPU.1 or AUTO:GPU,CPU"},
            description="Inference device: CPU, GPU, NPU or AUTO.",
        ),
    ] = "CPU"
    precision: Annotated[
        Literal["", "f32", "f16", "bf16"],
        Meta(description="Numeric precision of inference. Empty: the fastest that the hardware supports."),
    ] = ""
    threads: Annotated[
        int, Meta(ge=0, le=256, description="CPU threads for inference. 0: all CPUs available to the service.")
    ] = 0
    hint: Annotated[
        Literal["auto", "throughput", "latency"],
        Meta(
            description="throughput: several frames in parallel. latency: all cores on one frame. "
            "auto: all cores on a frame only while no other waits."
        ),
    ] = "auto"
    sizes: Annotated[
        int,
        Meta(
            ge=1,
            le=32,
            description="Number of input sizes to keep compiled, about 40 MB each. "
            "Raise it for cameras with different aspect ratios.",
        ),
    ] = 1
    cache: Annotated[
        bool, Meta(description="Cache compiled models on disk (.compiled in model.dir, 100 MB) for a faster start.")
    ] = True


class Flow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frame admission and scheduling."""

    max_side: Annotated[
        int,
        Meta(ge=64, le=2048, description="Longest side of the model input, px. YOLO nano models are trained at 640."),
    ] = 640
    min_interval_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="Minimum interval between frames of one camera, s. 0: a fair share of the device's capacity.",
        ),
    ] = 0.0
    burst: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Number of consecutive early frames to accept before one is skipped; absorbs network jitter.",
        ),
    ] = 3
    max_age_s: Annotated[
        float,
        Meta(
            ge=0.01,
            le=600,
            description="Drop a frame as expired after waiting this long, s. An older result is no longer useful.",
        ),
    ] = 2.0
    max_waiting: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Maximum number of cameras with a waiting frame. Another one gets the answer `overloaded`.",
        ),
    ] = 256
    max_waiting_bytes: Annotated[
        int, Meta(ge=1_000_000, le=16_000_000_000, description="Memory limit for all waiting frames, bytes.")
    ] = 64_000_000
    max_pixels: Annotated[
        int,
        Meta(
            ge=10_000,
            le=1_000_000_000,
            description="Maximum image size, width x height, px. 40 million is enough for 8K.",
        ),
    ] = 40_000_000
    deadline_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=600,
            description="Treat the engine as hung, and restart, when one frame takes longer than this, s.",
        ),
    ] = 20.0
    slow_frame_s: Annotated[
        float,
        Meta(ge=0.001, le=600, description="Log a warning with timings for a frame that takes longer than this, s."),
    ] = 2.0
    scene_gate: Annotated[
        bool, Meta(description="Repeat the last result, without inference, while the scene is unchanged.")
    ] = False
    refresh_s: Annotated[
        float,
        Meta(gt=0, le=3600, description="With scene_gate: maximum time between inferences of an unchanged scene, s."),
    ] = 10.0
    jpeg_quality: Annotated[
        int,
        Meta(
            ge=30,
            le=95,
            description="JPEG quality requested from cameras. 80 loses no detections; 95 doubles the size.",
        ),
    ] = 80


class Cache(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cache of results for byte-identical images."""

    enabled: Annotated[bool, Meta(description="Cache results.")] = True
    entries: Annotated[int, Meta(ge=1, le=100_000, description="Maximum number of cached results.")] = 100
    max_bytes: Annotated[
        int, Meta(ge=10_000, le=4_000_000_000, description="Maximum memory for cached results, bytes.")
    ] = 2_000_000
    ttl_s: Annotated[float, Meta(ge=0.1, le=86_400, description="Lifetime of a cached result, s.")] = 60.0


class Governor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to reduce the load; docs/governor.md explains how."""

    enabled: Annotated[
        bool, Meta(description="Reduce the load on high temperature or low memory. Off: only report.")
    ] = True
    target_temp_c: Annotated[
        float,
        Meta(
            ge=30,
            le=110,
            description="Target limit of the SoC temperature, °C, and at most 3 below the hardware's own trip point. "
            "A Raspberry Pi throttles at 80.",
        ),
    ] = 77.0
    critical_temp_c: Annotated[
        float,
        Meta(ge=40, le=120, description="Pause inference at this temperature, °C. Firmware throttles hard at 85."),
    ] = 84.0
    min_available_bytes: Annotated[
        int,
        Meta(
            ge=0,
            le=64_000_000_000,
            description="Process one frame at a time below this much available memory, bytes. "
            "Below twice this the cache is emptied.",
        ),
    ] = 100_000_000


class Log(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Logging."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Minimum level of log messages.")
    ] = "info"


class State(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Persistent state."""

    dir: Annotated[
        str,
        Meta(description="State folder. Empty: $STATE_DIRECTORY from systemd, else ~/.local/state/appliance."),
    ] = ""
    history: Annotated[
        bool, Meta(description="Save the history of the last 24 hours once a minute, so that it survives a restart.")
    ] = True


class Camera(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera, `[cameras.NAME]`."""

    token: Annotated[str, Meta(description="Token that the camera must send to use this name. Empty: none.")] = ""
    weight: Annotated[
        float,
        Meta(
            gt=0,
            le=100,
            description="Relative share of inference time. A camera with 2 gets twice as much as one with 1.",
        ),
    ] = 1.0
    priority: Annotated[
        int,
        Meta(
            ge=0,
            le=9,
            description="Frames of a camera with a higher priority always go first. Equal priorities share by weight.",
        ),
    ] = 0
    min_interval_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="Minimum interval between frames of this camera, s, if longer than flow.min_interval_s.",
        ),
    ] = 0.0


class CameraAgent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Camera agent (`appliance camera`). Its token is in `token_file` or $APPLIANCE_TOKEN."""

    to: Annotated[
        str, Meta(description="URL of the device, for example http://device:8080. Empty: find it by multicast DNS.")
    ] = ""
    name: Annotated[str, Meta(description="Camera name. Empty: the host name.")] = ""
    source: Annotated[
        str,
        Meta(
            description="demo, picamera, an image folder, a video file, /dev/video0, rtsp://… or http://…. "
            "env:NAME or @FILE: read it from an environment variable or a file."
        ),
    ] = "demo"
    rtsp_transport: Annotated[
        Literal["auto", "tcp", "udp"],
        Meta(
            description="RTSP transport. auto: TCP, or UDP if the camera refuses TCP, because packet loss over UDP "
            "damages images."
        ),
    ] = "auto"
    token_file: Annotated[
        str, Meta(description="File with the camera's token, read for each connection. Empty: $APPLIANCE_TOKEN.")
    ] = ""
    save_dir: Annotated[str, Meta(description="Folder for images with detections. Empty: save none.")] = ""
    save_max_bytes: Annotated[
        int,
        Meta(
            ge=1_000_000,
            le=100_000_000_000_000,
            description="Maximum total size of saved images, bytes. The oldest are deleted first.",
        ),
    ] = 1_000_000_000
    command_interval_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="Minimum time between two starts of the `--on` command, s. Only one runs at a time.",
        ),
    ] = 10.0


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of the service and the camera agent."""

    profile: Annotated[
        ProfileName,
        Meta(description="development, production or realtime: selects the defaults of the settings below."),
    ] = "production"
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
