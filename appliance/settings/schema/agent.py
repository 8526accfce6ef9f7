"""Section `[camera]`: the camera agent."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct


class AgentSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Camera agent (`appliance camera`). Its token is in `token_file` or $APPLIANCE_TOKEN."""

    to: Annotated[
        str,
        Meta(
            description="URL of the device, for example https://device:8080#sha256=…, as `appliance address` on the "
            "device prints it. this-device: the service on this device. Empty: find it by multicast DNS."
        ),
    ] = ""
    ca_file: Annotated[
        str,
        Meta(
            max_length=4096,
            description="PEM file of the certificate authority that signed the device's certificate. Empty: those of "
            "the system. A URL with #sha256= needs none.",
        ),
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
