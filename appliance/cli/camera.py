"""`appliance camera`."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
from typing import Any

from appliance.cli.arguments import OK, USAGE, add_command, add_settings, complain, settings_of
from appliance.device import logs, state
from appliance.imports import loading


def add(commands: Any) -> None:
    """Add the command."""
    camera = add_command(commands, "camera", _camera, "push pictures to a device as a camera does")
    add_settings(camera)
    for flag, key, what, help_ in (
        ("--to", "to", "URL", "the device, for example https://device:8080#sha256=… (default: search with mDNS)"),
        ("--name", "name", "NAME", "this camera's name (default: the host name)"),
        ("--token-file", "token_file", "FILE", "file with the camera's token; alternatively set $APPLIANCE_TOKEN"),
        ("--source", "source", "SOURCE", "demo (a drawn street), picamera, a picture or folder of pictures, a video, "
         "/dev/video0, rtsp://… or http://…; env:NAME or @FILE reads it from a variable or file"),
        ("--rtsp-transport", "rtsp_transport", "HOW", "auto, tcp or udp; auto: TCP, or UDP if the camera refuses TCP"),
        ("--save", "save_dir", "DIR", "save pictures with detections in DIR"),
    ):  # fmt: skip
        camera.add_argument(flag, dest=f"camera.{key}", metavar=what, help=f"{help_} (camera.{key})")
    camera.add_argument(
        "--on",
        action="append",
        default=[],
        metavar="CLASS",
        help="run COMMAND when this class is detected; can be repeated",
    )
    camera.add_argument("--json", action="store_true", help="print each result as a line of JSON")
    camera.add_argument("--quiet", action="store_true", help="print only warnings and errors")
    camera.add_argument(
        "run", nargs="*", metavar="COMMAND", help="for --on, after --; it reads the result as JSON from stdin"
    )


def _camera(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments).camera
    logs.set_up("warning" if arguments.quiet else "info")
    if bool(arguments.on) != bool(arguments.run):
        return complain("--on needs a command, and a command needs --on: --on person -- /path/to/command", USAGE)
    with loading():
        from appliance.camera import command

    options = command.Options(
        source=command.spelled_out(settings.source, "--source"),
        rtsp_transport=settings.rtsp_transport,
        name=settings.name or socket.gethostname().split(".")[0],
        url=command.spelled_out(settings.to, "--to"),
        ca_file=settings.ca_file,
        token=os.environ.get("APPLIANCE_TOKEN", ""),
        token_file=settings.token_file,
        state_dir=str(state.default_dir(os.environ)),
        save_dir=settings.save_dir,
        save_max_bytes=settings.save_max_bytes,
        on=tuple(arguments.on),
        command=tuple(arguments.run),
        command_interval_s=settings.command_interval_s,
        as_json=arguments.json,
        quiet=arguments.quiet,
    )
    asyncio.run(command.run(options, lambda line: print(line, flush=True)))
    return OK
