"""`appliance camera`."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
from typing import Any

from appliance.cli.arguments import OK, USAGE, add_command, add_settings, complain, settings_of
from appliance.device import logs


def add(commands: Any) -> None:
    """Put it among the commands."""
    camera = add_command(commands, "camera", _camera, "push pictures to a box as a camera does")
    add_settings(camera)
    for flag, key, what, help_ in (
        ("--to", "to", "URL", "the device, http://device:8080, also below a path; not given: found by mDNS"),
        ("--name", "name", "NAME", "this camera's name; not given: the host's"),
        ("--token-file", "token_file", "FILE", "holds the camera's token; or put it into $APPLIANCE_TOKEN"),
        ("--source", "source", "SOURCE", "demo (a drawn street), picamera, a folder or file of pictures, a video, "
         "/dev/video0, rtsp://… or http://…; env:NAME or @FILE: it stands there"),
        ("--rtsp-transport", "rtsp_transport", "HOW", "auto, tcp or udp; auto: UDP where the camera refuses TCP"),
        ("--save", "save_dir", "DIR", "keep pictures that have something in them"),
    ):  # fmt: skip
        camera.add_argument(flag, dest=f"camera.{key}", metavar=what, help=f"{help_} (camera.{key})")
    camera.add_argument("--on", action="append", default=[], metavar="CLASS", help="when it is seen, run COMMAND")
    camera.add_argument("--json", action="store_true", help="print each answer as a line of JSON")
    camera.add_argument("--quiet", action="store_true", help="print nothing but problems")
    camera.add_argument(
        "run", nargs="*", metavar="COMMAND", help="after --, for --on: gets the answer as JSON on stdin"
    )


def _camera(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments).camera
    logs.set_up("warning" if arguments.quiet else "info")
    if bool(arguments.on) != bool(arguments.run):
        return complain("--on and the command belong together: --on person -- /path/to/command", USAGE)
    from appliance.camera import command

    options = command.Options(
        source=command.spelled_out(settings.source, "--source"),
        rtsp_transport=settings.rtsp_transport,
        name=settings.name or socket.gethostname().split(".")[0],
        url=command.spelled_out(settings.to, "--to"),
        token=os.environ.get("APPLIANCE_TOKEN", ""),
        token_file=settings.token_file,
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
