"""Who sends a request over the control socket: the local user that the kernel names."""

from __future__ import annotations

import pwd
import socket
import struct

from aiohttp import web

from appliance.identity.roles import Identity, Role, of_role

_UCRED = struct.Struct("3i")  # pid, uid, gid: unix(7)


def caller(request: web.BaseRequest) -> Identity:
    """The user at the other end, as an operator: only the socket's owner and root can open it."""
    connection = request.get_extra_info("socket")
    if connection is None:
        return of_role("local user", Role.OPERATOR)
    _, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return of_role(_name(uid), Role.OPERATOR)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
