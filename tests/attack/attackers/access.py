"""Attacks on who gets in: guesses over HTTP, tokens that were revoked or stolen, and the work of TLS handshakes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import ssl

from tests.attack.pictures import camera_picture
from tests.attack.table import attack
from tests.attack.wire import DETECT, GUARDED_TOKEN, Target, Vulnerable, picture_event, text

_numbers = itertools.count()
_ANSWERED_WITHIN_S = 10
_HELD_S = 5
_FINDING_AFTER = 25
"""Wrong tokens after which there must be a finding."""
_REVOKED = "edge_0123456789abcdef_" + "x" * 43
"""In the form of a token that the device has made, and no longer valid."""


@attack("token guesses over HTTP, from 20 addresses", at_once=8, addresses=20)
async def http_guesses(target: Target) -> None:
    guess = f"{_REVOKED[:-8]}{next(_numbers):08d}"
    for path, headers in (
        ("/health/history", {"Authorization": f"Bearer {guess}"}),
        (f"/cameras/guarded/latest.jpg?token={guess}", {"X_Forwarded_For": "192.168.1.77"}),
        (f"{DETECT}?api_key={guess}", {"X_Forwarded_For": "192.168.1.77", "Content_Type": "image/jpeg"}),
    ):
        body = camera_picture() if "Content_Type" in headers else b""
        status = await target.ask("POST" if body else "GET", path, body, **headers)
        if status < 400:
            raise Vulnerable(f"a wrong token is accepted at {path.partition('?')[0]}")


@attack("200 cameras with a revoked token that reconnect at once", at_once=200, addresses=50)
async def revoked_tokens(target: Target) -> None:
    async with target.websocket() as wire:
        await wire.message()
        await wire.send(text("40" + json.dumps({"name": "guarded", "token": _REVOKED})))
        answer = await asyncio.wait_for(wire.message(), _ANSWERED_WITHIN_S)
        if answer.startswith(b"40"):
            raise Vulnerable("a revoked token is accepted")


@attack("a camera's name taken in turns by 50 connections that hold its token", at_once=50, addresses=20)
async def name_taken(target: Target) -> None:
    """Somebody has the token of one camera: each connection replaces the one before, sends a frame and is replaced."""
    async with target.websocket() as wire:
        await wire.message()
        await wire.send(text("40" + json.dumps({"name": "guarded", "token": GUARDED_TOKEN})))
        answer = await asyncio.wait_for(wire.message(), _ANSWERED_WITHIN_S)
        if not answer.startswith(b"40"):
            raise ConnectionError("refused")
        await wire.send(picture_event(camera_picture()))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(wire.until_closed(), _HELD_S)


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@attack("TLS handshakes, completed and dropped", at_once=8, addresses=20)
async def tls_handshakes(target: Target) -> None:
    """The device signs in each handshake; the attacker starts another at once."""
    host, _, port = target.host.partition(":")
    connecting = asyncio.open_connection(host, int(port), ssl=_trusting(), local_addr=(target.next_address(), 0))
    _, writer = await asyncio.wait_for(connecting, _ANSWERED_WITHIN_S)
    writer.transport.abort()


@attack("TLS handshakes that stop after the first message", at_once=60, addresses=20)
async def unfinished_handshakes(target: Target) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        _trusting().wrap_bio(incoming, outgoing).do_handshake()
    async with target.dial() as wire:
        await wire.send(outgoing.read())
        await wire.until_closed()


@attack("guesses of a camera's token where none is required", at_once=4, addresses=20, settings=("access.auth=off",))
async def ignored_guesses(target: Target) -> None:
    """A wrong key is ignored here, and the right one lets the picture in: it must not be found by trying."""
    headers = {"X_Forwarded_For": "192.168.1.77", "X_Camera": "guarded", "Content_Type": "image/jpeg"}
    for _ in range(_FINDING_AFTER):
        if await target.ask("POST", f"{DETECT}?api_key=guess{next(_numbers):08d}", b"x", **headers) != 403:
            raise Vulnerable("a camera's name is free without its token")
    async with target.dial() as wire:
        await wire.send(target.request("GET", "/health", Connection="close"))
        report = await asyncio.wait_for(wire.reader.read(), _ANSWERED_WITHIN_S)
        if b'"token_guessing"' not in report:
            raise Vulnerable(f"{_FINDING_AFTER} guesses of a camera's token are not reported")
