"""`serve --camera SOURCE`: a camera agent beside the service, as a process: a client like any other."""

from __future__ import annotations

import asyncio
import logging
import sys

import anyio

log = logging.getLogger(__name__)


async def run_camera(source: str, port: int) -> None:
    """Push `source` to the service on this port until cancelled, or until the source ends."""
    command = [sys.executable, "-m", "appliance", "camera", "--to", f"http://127.0.0.1:{port}", "--name", "demo"]
    process = await asyncio.create_subprocess_exec(*command, "--source", source, "--quiet", start_new_session=True)
    try:
        status = await process.wait()
        if status:
            log.error("the camera agent ended with status %d; the service goes on", status)
    finally:
        if process.returncode is None:
            process.terminate()
            with anyio.CancelScope(shield=True):
                await process.wait()
