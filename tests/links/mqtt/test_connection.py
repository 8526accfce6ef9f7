"""The connection to a broker, below the protocol."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from appliance.links.mqtt.connection import connected, lasting_client
from appliance.links.mqtt.options import MqttOptions
from appliance.links.mqtt.topics import Topics

_CONNACK = b"\x20\x02\x00\x00"


@asynccontextmanager
async def silent_broker() -> AsyncIterator[int]:
    """A broker that accepts each connection, and does nothing more."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(1000)
            writer.write(_CONNACK)
            await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize("reused", [False, True], ids=["closed", "reused"])
async def test_a_socket_that_was_closed_meanwhile_is_not_watched(reused: bool) -> None:
    """Not by its number either, which the next connection of the device gets: its loop would never come to rest."""
    loop = asyncio.get_running_loop()
    problems: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: problems.append(context))
    other = socket.socket()
    async with silent_broker() as port:
        options = MqttOptions(host="127.0.0.1", port=port, device_id="box")
        client = await lasting_client(options, Topics(options))
        async with connected(client):
            paho: Any = client._client
            number = paho.socket().fileno()
            paho.publish("topic", "x", qos=1)
            paho._sock_close()  # as it does when it reads the end of the connection
            if reused:
                os.dup2(other.fileno(), number)
            for _ in range(3):
                await asyncio.sleep(0)
            watched = set(loop._selector.get_map())  # type: ignore[attr-defined]
            if reused:
                loop.remove_writer(number)
                os.close(number)
    other.close()
    assert number not in watched
    assert problems == []
