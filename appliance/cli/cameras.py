"""`appliance cameras …`: list and forget the cameras that the running service knows."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from appliance import durations
from appliance.cli.arguments import OK, add_command, running_service

if TYPE_CHECKING:
    from appliance.control.protocol import CameraList

_PRESENCE = {
    "silent": "SILENT for {}, which is unusual",
    "sending": "sends frames",
    "quiet": "last frame {} ago",
}


def add(cameras: argparse.ArgumentParser) -> None:
    """Add the commands of `appliance cameras`."""
    commands = cameras.add_subparsers(required=True, metavar="COMMAND")
    add_command(commands, "list", _list, "list the cameras that have sent frames, and since when they are silent")
    forget = add_command(commands, "forget", _forget, "forget a camera that has been removed for good")
    forget.add_argument("name", metavar="NAME", help="the camera's name, as `appliance cameras list` prints it")


def _list(arguments: argparse.Namespace) -> int:
    print(describe(running_service().cameras()))
    return OK


def _forget(arguments: argparse.Namespace) -> int:
    running_service().forget_camera(arguments.name)
    print(f"Forgot the camera {arguments.name}.")
    return OK


def describe(cameras: CameraList) -> str:
    """One line for each camera; those that need attention first."""
    if not cameras.cameras:
        return "No camera has sent a frame yet."
    lines = sorted(cameras.cameras, key=lambda camera: (list(_PRESENCE).index(camera.presence), camera.name))
    width = max(len(camera.name) for camera in lines)
    return "\n".join(
        f"{camera.name:<{width}}  {_PRESENCE[camera.presence].format(durations.in_words(camera.silent_s))}"
        for camera in lines
    )
