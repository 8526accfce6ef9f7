"""A connection to the broker: how it is made, why it failed, and a test of it."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from appliance.links.mqtt.options import MqttOptions, TlsOptions
from appliance.links.mqtt.states import OFFLINE
from appliance.links.mqtt.topics import Topics
from appliance.links.reasons import LinkProblem, of_error

if TYPE_CHECKING:
    import aiomqtt

_KEEPALIVE_S = 30
_MOST_UNCONFIRMED = 64
_MOST_RECEIVED = 1000
MOST_RECEIVED_BYTES = 1_100_000
"""Of one message. The longest of our own are descriptions for Home Assistant, a tenth of it; of pictures, nothing is
read."""
_WRONG_LOGIN = (4, 5, 134, 135)
"""Bad user name or password, and not authorised: the codes of MQTT 3.1.1, and those that paho makes of them. Brokers
use either for both."""


async def lasting_client(options: MqttOptions, topics: Topics) -> aiomqtt.Client:
    """A client with a session that the broker keeps, and a last will. Raises OSError or ValueError for a bad file."""
    import aiomqtt

    will = aiomqtt.Will(topics.status, OFFLINE, qos=1, retain=True)
    return await _client(options, f"appliance-{options.device_id}", will)


async def renew_certificates(client: aiomqtt.Client, options: MqttOptions) -> None:
    """Use the certificates that are in the files now for the next connection. Raises OSError or ValueError.

    They expire and are replaced while the service runs. paho has no way to replace its TLS context, and another client
    would lose the events that are on their way.
    """
    if options.tls is not None:
        client._client._ssl_context = await asyncio.get_running_loop().run_in_executor(None, _tls_context, options.tls)


@asynccontextmanager
async def connected(client: aiomqtt.Client) -> AsyncIterator[None]:
    """A connection of a client that is used again. Raises MqttError.

    After a broker has ended a connection, aiomqtt's client (2.5.1) still takes itself for connected: the next one would
    not wait for the broker's answer, and a refused password would look like a connection that was closed. And an error
    that nobody has taken from the future of the last connection is logged when that is freed.
    """
    try:
        async with client:
            yield
    finally:
        lost, begun = client._disconnected, client._connected
        if lost.done() and not lost.cancelled():
            lost.exception()
        if begun.done():
            client._connected = asyncio.get_running_loop().create_future()


async def try_out(options: MqttOptions, topics: Topics) -> LinkProblem | None:
    """Connect next to the link, publish a message, and return why that failed; None: the broker has confirmed it."""
    import aiomqtt

    try:
        client = await _client(options, f"appliance-{options.device_id}-test", None)
        async with connected(client):
            await client.publish(topics.test, "test", qos=1)
    except (aiomqtt.MqttError, OSError, ValueError) as error:
        return reason(error)
    return None


async def _client(options: MqttOptions, identifier: str, will: aiomqtt.Will | None) -> aiomqtt.Client:
    import aiomqtt

    context = None
    if options.tls is not None:
        context = await asyncio.get_running_loop().run_in_executor(None, _tls_context, options.tls)
    quiet = logging.getLogger(f"{__name__}.library")
    quiet.setLevel(logging.CRITICAL)  # what goes wrong is reported by the link
    client = aiomqtt.Client(
        options.host,
        options.broker_port,
        identifier=identifier,
        username=options.username or None,
        password=options.password or None,
        tls_context=context,
        will=will,
        clean_session=will is None,
        keepalive=_KEEPALIVE_S,
        timeout=options.timeout_s,
        max_queued_incoming_messages=_MOST_RECEIVED,
        max_queued_outgoing_messages=_MOST_UNCONFIRMED,
        logger=quiet,
    )
    _write_while_open(client)
    _receive_bounded(client)
    return client


class _FirstBytes(bytearray):
    """Keeps the first bytes that are added to it, and drops the others."""

    def __iadd__(self, data: Any) -> Any:  # type: ignore[misc]  # bytearray has an __add__, which nothing uses
        return super().__iadd__(memoryview(data)[: max(0, MOST_RECEIVED_BYTES - len(self))])


def _receive_bounded(client: aiomqtt.Client) -> None:
    """Keep only the start of a message that is too long: anybody at the broker may send one of 256 MB.

    Its end is read and dropped, and it is confirmed like any other, or the broker would send it again. MQTT 3.1.1 has
    no way to refuse it, and paho (2.2) none to bound it.
    """
    paho: Any = client._client
    read = paho._packet_read

    def bounded() -> Any:
        packet = paho._in_packet
        if not packet["packet"]:
            packet["packet"] = _FirstBytes()
        return read()

    paho._packet_read = bounded


def _write_while_open(client: aiomqtt.Client) -> None:
    """Let the loop watch paho's socket only if that is still open when it comes to that.

    aiomqtt (2.5.1) gives the loop the number of the socket a moment later. If the broker has ended the connection
    meanwhile, that number is void, or is another connection's, which the loop would then watch without end.
    """
    paho: Any = client._client
    loop = asyncio.get_running_loop()

    def write() -> None:
        try:
            paho.loop_write()
        except Exception as error:  # noqa: BLE001  # as aiomqtt does: the connection is lost
            if not client._disconnected.done():
                client._disconnected.set_exception(error)

    def watch(sock: Any) -> None:
        if paho.socket() is sock:
            loop.add_writer(sock, write)

    def register(_client: Any, _userdata: Any, sock: Any) -> None:
        loop.call_soon_threadsafe(watch, sock)  # paho calls this from the thread that connects, too

    paho.on_socket_register_write = register


def reason(error: Exception) -> LinkProblem:
    """Why there is no connection."""
    from aiomqtt.exceptions import MqttCodeError, MqttConnectError

    text = re.sub(r"^\[(code:|Errno )\d+\] ", "", str(error)) or type(error).__name__
    if isinstance(error, MqttConnectError):
        number = error.rc if isinstance(error.rc, int) or error.rc is None else error.rc.value
        return LinkProblem("mqtt_login") if number in _WRONG_LOGIN else LinkProblem("mqtt_rejected", text)
    if isinstance(error, MqttCodeError) or text.startswith("Disconnected"):
        return LinkProblem("link_closed")
    return LinkProblem("link_no_answer") if text == "Operation timed out" else of_error(error)


def _tls_context(tls: TlsOptions) -> ssl.SSLContext:
    """Raises OSError or ValueError when a file is missing or unusable."""
    context = ssl.create_default_context(cafile=tls.ca_file or None)
    if tls.cert_file:
        context.load_cert_chain(tls.cert_file, tls.key_file or None)
    return context
