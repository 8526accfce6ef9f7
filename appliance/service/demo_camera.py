"""`serve --camera SOURCE`: a camera agent beside the service, as a process: a client like any other."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

import anyio

log = logging.getLogger(__name__)


NAME = "demo"


async def run_camera(source: str, url: str, token: str) -> None:
    """Push `source` to the service at this address until cancelled, or until the source ends. `token`: "" for none.

    All that it needs is said here: the file of settings that it would find by itself need not be the service's.
    """
    command = [sys.executable, "-m", "appliance", "camera", "--to", url, "--name", NAME, "--quiet"]
    own = {"APPLIANCE_CONFIG": os.devnull, "APPLIANCE_CAMERA_SOURCE": source}  # not an argument: it may hold a password
    environment = os.environ | own | ({"APPLIANCE_TOKEN": token} if token else {})
    process = await asyncio.create_subprocess_exec(*command, start_new_session=True, env=environment)
    try:
        status = await process.wait()
        if status:
            log.error("the camera agent ended with status %d; the service goes on", status)
    finally:
        if process.returncode is None:
            process.terminate()
            with anyio.CancelScope(shield=True):
                await process.wait()
