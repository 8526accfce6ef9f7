"""The control socket: requests that only a local user may send to the running service.

Rules of this file:
- It is a Unix socket that only its owner may open, never a port. Its permissions are set before it listens.
- A socket that nobody answers is stale and is replaced. One that answers belongs to another service and is kept.
- The service also runs without it, and logs a warning.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from appliance.control.governor import routes as governor_routes
from appliance.governor.service import Governor
from appliance.identity.audit import Audit

log = logging.getLogger(__name__)

_SHUTDOWN_S = 1.0
"""For a response in progress when the service stops."""


@asynccontextmanager
async def listening(
    governor: Governor, audit: Audit, path: Path, more: Sequence[web.RouteDef] = ()
) -> AsyncIterator[None]:
    """Keep the control socket open for the length of the block, if possible. `more`: routes besides the governor's."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            app = web.Application()
            app.add_routes([*governor_routes(governor, audit), *more])
            await _start(stack, path, app)
        except OSError as error:
            log.warning("no control socket; `appliance governor` and `appliance model activate` cannot reach this "
                        "service: %s: %s", path, error)  # fmt: skip
        yield


async def _start(stack: contextlib.AsyncExitStack, path: Path, app: web.Application) -> None:
    opened = _open(path)
    stack.callback(opened.close)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_S)
    stack.push_async_callback(runner.cleanup)
    stack.callback(_remove, path)  # before it stops listening: until then no other service replaces it
    await runner.setup()
    await web.SockSite(runner, opened).start()


def _open(path: Path) -> socket.socket:
    """Bind the socket and listen. Raises OSError where that is unsafe or impossible."""
    _make_private(path.parent)
    if path.is_socket():
        if _answers(path):
            raise OSError("another service of this user uses it")
        path.unlink()
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.bind(str(path))
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        opened.listen()  # now: another service that starts would take a socket that does not listen for a stale one
    except OSError:
        opened.close()
        raise
    return opened


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # the folder may be gone or read-only
        path.unlink(missing_ok=True)


def _make_private(folder: Path) -> None:
    """Create the folder, or check that no other user has created it: under /tmp anyone may. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise PermissionError(f"{folder} does not belong to this user")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        folder.chmod(0o700)


def _answers(path: Path) -> bool:
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except BlockingIOError:
            pass  # its queue is full: that service hangs, and this one would wait for it
    return True
