"""Who is at the other end of the control socket: the process and the local user that the kernel names."""

from __future__ import annotations

import pwd
import socket
import struct
from typing import TYPE_CHECKING

from appliance.identity.roles import Identity, Role, of_role

if TYPE_CHECKING:
    from aiohttp import web

_UCRED = struct.Struct("3i")  # pid, uid, gid: unix(7)


def caller(request: web.BaseRequest) -> Identity:
    """The user at the other end, as an operator: only the socket's owner and root can open it."""
    connection = request.get_extra_info("socket")
    if connection is None:
        return of_role("local user", Role.OPERATOR)
    return of_role(_name(peer_of(connection)[1]), Role.OPERATOR)


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """The process id and the user id at the other end of a Unix socket."""
    pid, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return pid, uid


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
