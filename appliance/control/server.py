"""The control socket: what only somebody on the box itself may ask of the running service.

Rules of this file:
- It is a Unix socket that its owner alone may open, never a port. It gets its permissions before it listens.
- A socket that nobody answers is left over and is replaced; one that answers belongs to another service and stays.
- Without it the service runs all the same, and the log says so.
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
from typing import Any

import msgspec
from aiohttp import web

from appliance.governor import words
from appliance.governor.service import Governor

log = logging.getLogger(__name__)

_LONGEST_HOLD_S = 24 * 3600.0
_GOODBYE_S = 1.0
"""For an answer under way when the service ends."""


class Hold(msgspec.Struct, forbid_unknown_fields=True):
    """Stay in this cooling state for so long."""

    state: int
    for_s: float


@asynccontextmanager
async def listening(governor: Governor, path: Path, more: Sequence[web.RouteDef] = ()) -> AsyncIterator[None]:
    """The control socket is open for the length of the block, if it can be. `more`: what else may be asked there."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            await _start(stack, path, _app(governor, more))
        except OSError as error:
            log.warning("no control socket, so `appliance governor` and `appliance model activate` cannot reach this "
                        "service: %s: %s", path, error)  # fmt: skip
        yield


async def _start(stack: contextlib.AsyncExitStack, path: Path, app: web.Application) -> None:
    opened = _open(path)
    stack.callback(_close, opened, path)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_GOODBYE_S)
    stack.push_async_callback(runner.cleanup)
    await runner.setup()
    await web.SockSite(runner, opened).start()


def describe(governor: Governor) -> dict[str, Any]:
    """The governor as `appliance governor show` prints it."""
    state, reading, policy = governor.state, governor.reading, governor.policy
    if policy is None:
        return {"enabled": False}
    return {
        "enabled": True,
        "cur_state": governor.cur_state,
        "max_state": governor.max_state,
        "time_in_state_s": round(governor.time_in_state_s, 1),
        "transitions": governor.transitions,
        "reason": governor.limits.reason,
        "why": words.cause(state, reading, governor.target_c) if reading and governor.target_c else "no reading yet",
        "held_for_s": governor.held_for_s,
        "memory": words.shortage(state),
        "measured": policy.ladder.measured,
        "ladder": [{"heat": step.heat, "means": words.meaning(step)} for step in policy.ladder.steps],
    }


def _app(governor: Governor, more: Sequence[web.RouteDef]) -> web.Application:
    async def show(request: web.Request) -> web.Response:
        return web.json_response(describe(governor))

    async def hold(request: web.Request) -> web.Response:
        try:
            asked = msgspec.json.decode(await request.read(), type=Hold)
            if not 0 < asked.for_s <= _LONGEST_HOLD_S:
                raise ValueError("a state can be held for 24 hours at the most, for example --for 10m")
            governor.hold(asked.state, asked.for_s)
        except ValueError as error:  # also what msgspec raises
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(describe(governor))

    async def release(request: web.Request) -> web.Response:
        governor.release()
        return web.json_response(describe(governor))

    app = web.Application()
    app.add_routes([web.get("/governor", show), web.post("/governor/hold", hold)])
    app.add_routes([web.post("/governor/release", release), *more])
    return app


def _open(path: Path) -> socket.socket:
    """A bound socket, not yet listening. Raises OSError where that is not safe or not possible."""
    _make_private(path.parent)
    if path.is_socket():
        if _answers(path):
            raise OSError("another service of this user has it")
        path.unlink()
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.bind(str(path))
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    except OSError:
        opened.close()
        raise
    return opened


def _close(opened: socket.socket, path: Path) -> None:
    opened.close()
    with contextlib.suppress(OSError):  # its folder may have gone, or be read-only by now
        path.unlink(missing_ok=True)


def _make_private(folder: Path) -> None:
    """Make the folder, or see that nobody else has put it there: under /tmp everybody may."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(f"{folder} does not belong to this user")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        folder.chmod(0o700)


def _answers(path: Path) -> bool:
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
    return True
