"""`appliance drain` and `appliance undrain`: take this device out of its site for maintenance, and back in."""

from __future__ import annotations

import argparse
import time
from typing import Any

from appliance import durations
from appliance.cli.arguments import FAILED, OK, USAGE, add_command, complain, running_service

_POLL_S = 0.5


def add(commands: Any) -> None:
    """Add both commands."""
    drain = add_command(
        commands, "drain", _drain, "move all cameras to other devices of the site, and take no new ones"
    )
    drain.add_argument(
        "--wait",
        default="30s",
        metavar="DURATION",
        help="wait until the cameras have gone, at most this long; 0s: do not wait (default: 30s)",
    )
    add_command(commands, "undrain", _undrain, "take cameras again after `appliance drain`")


def _drain(arguments: argparse.Namespace) -> int:
    wait_s = durations.parse(arguments.wait)
    if wait_s is None:
        return complain("--wait: write a duration, for example 30s or 2m", USAGE)
    service = running_service()
    left = service.drain().cameras
    until_s = time.monotonic() + wait_s
    while left and time.monotonic() < until_s:
        time.sleep(_POLL_S)
        left = service.site().cameras
    if left and wait_s:
        return complain(
            f"Cameras and viewers that are still connected: {left}. They stay if no other device takes them; "
            "see docs/site.md", FAILED,
        )  # fmt: skip
    print(f"Drained. Cameras and viewers that are connected: {left}. To take part again: appliance undrain")
    return OK


def _undrain(arguments: argparse.Namespace) -> int:
    running_service().undrain()
    print("This device takes cameras again. Cameras come with their next connection, or when the site balances itself.")
    return OK
