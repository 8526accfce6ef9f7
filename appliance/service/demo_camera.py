"""`serve --camera SOURCE`: run a camera agent in a process of its own, a client like any other."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

import anyio

log = logging.getLogger(__name__)


NAME = "demo"


async def run_camera(source: str, url: str, token: str) -> None:
    """Push `source` to the service at this address until cancelled or the source ends. `token`: "" for none.

    The agent gets everything from here: the settings file it would find by itself may be another one.
    """
    command = [sys.executable, "-m", "appliance", "camera", "--to", url, "--name", NAME, "--quiet"]
    own = {
        "APPLIANCE_CONFIG": os.devnull,
        "APPLIANCE_CAMERA_SOURCE": source,
    }  # it may contain a password
    environment = os.environ | own | ({"APPLIANCE_TOKEN": token} if token else {})
    process = await asyncio.create_subprocess_exec(*command, start_new_session=True, env=environment)
    try:
        status = await process.wait()
        if status:
            log.error("the camera agent exited with status %d; the service keeps running", status)
    finally:
        if process.returncode is None:
            process.terminate()
            with anyio.CancelScope(shield=True):
                await process.wait()
