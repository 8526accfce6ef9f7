"""The port: passed by systemd, or opened here."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence

from aiohttp import web

from appliance.errors import PortError

log = logging.getLogger(__name__)

_BACKLOG = 4096
"""Connections that wait to be taken, as many as Linux allows: after a restart all cameras of a site come at once."""


async def listen(runner: web.AppRunner, passed: Sequence[socket.socket], host: str, port: int) -> None:
    """Serve on the passed sockets if there are any, else on host and port. Raises PortError."""
    try:
        for one in passed:
            await web.SockSite(runner, one, backlog=_BACKLOG).start()
        if not passed:
            await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
    except OSError as error:
        where = f"{host}:{port}" if not passed else "the socket that systemd passed"
        raise PortError(
            f"cannot listen on {where}: {error.strerror or error}. Choose another with --port or server.port"
        ) from None


async def stop_listening(runner: web.AppRunner) -> None:
    """Take no more connections. On a passed socket they wait for the next process; elsewhere they are refused."""
    for site in list(runner.sites):
        await site.stop()
