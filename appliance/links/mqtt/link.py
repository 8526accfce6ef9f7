"""The connection to the broker: what the device publishes there, and what it listens to.

Rules of this file:
- Nothing here delays a frame: events go into a bounded outbox, states are the latest only, and one message at a time
  is on its way. After each, the loop is left to others for a moment.
- One client is used for all connections, with a session that the broker keeps: an event of quality 2 whose delivery was
  interrupted is completed after the next connection, once.
- After each connection, and when Home Assistant comes online, all states are published again. Cameras that are no
  longer known are removed from the broker, and so is what was published under other names (`topic_record.py`).
- A broker that is away or refuses the device is a finding and never more. One that ends each connection soon is tried
  less and less often, and stays a finding until a connection lasts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import anyio

from appliance.events.object_event import ObjectEvent, payload_of
from appliance.events.outbox import EventOutbox
from appliance.health.words import counted
from appliance.links.mqtt.connection import connected, lasting_client, reason, renew_certificates, try_out
from appliance.links.mqtt.options import MqttOptions
from appliance.links.mqtt.publication import DeviceView, Publication, encoded
from appliance.links.mqtt.states import OFFLINE, ONLINE
from appliance.links.mqtt.steadiness import Steadiness
from appliance.links.mqtt.topic_record import TopicRecord
from appliance.links.mqtt.topics import Topics
from appliance.links.reasons import LinkProblem
from appliance.ports import Clock

if TYPE_CHECKING:
    import aiomqtt

log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
_BREATH_S = 0.004
"""Between two messages: 10,000 events after an outage take 40 s, and 4 % of one core."""
_LISTEN_S = 3.0
"""For the broker to send what it holds of this device, after a connection."""

_CONNECTING = LinkProblem("link_connecting")
_UNSTEADY = LinkProblem("mqtt_unsteady")

Commands = Mapping[str, Callable[[], Awaitable[None]]]
"""What may be ordered over MQTT, by verb."""


class MqttLink:
    """The link to one broker. `receive` takes events at any time; `run` connects and publishes until cancelled."""

    def __init__(
        self, options: MqttOptions, device: DeviceView, commands: Commands, record: TopicRecord, clock: Clock
    ) -> None:
        self._options, self._record, self._clock = options, record, clock
        self._commands = commands if options.commands else {}
        self._topics = Topics(options)
        self._events = EventOutbox(options.queue)
        self._states = Publication(options, self._topics, device, tuple(self._commands))
        self._refresh_s = 0.0
        self._wake, self._done, self._retry = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._closing = False
        self._reported = 0
        """How many of the dropped events the log has reported."""
        self.problem: LinkProblem | None = _CONNECTING
        """Why there is no connection, or none that lasts; None: there is one."""
        self._steadiness = Steadiness(clock)

    @property
    def waiting(self) -> int:
        """Events that the broker has not got yet."""
        return len(self._events)

    @property
    def dropped(self) -> int:
        """Events that the broker will never get."""
        return self._events.dropped

    def receive(self, event: ObjectEvent) -> None:
        """Take an event. Returns at once."""
        self._events.put(event)
        self._states.touch(event)
        self._wake.set()

    async def run(self) -> None:
        """Connect, publish and connect again, until cancelled."""
        import aiomqtt

        pause_s, client = _FIRST_PAUSE_S, None
        while not self._closing:
            try:
                if client is None:
                    client = await lasting_client(self._options, self._topics)
                else:
                    await renew_certificates(client, self._options)
                async with connected(client):
                    await self._connected(client)
                    await self._serve(client)
            except aiomqtt.MqttReentrantError:
                client = None  # it could not close its last connection
            except (aiomqtt.MqttError, OSError, ValueError) as error:
                pause_s = self._lost(error, pause_s)
            if not self._closing:
                with anyio.move_on_after(pause_s):
                    await self._retry.wait()
                self._retry.clear()
                pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
        self._done.set()

    async def try_out(self) -> LinkProblem | None:
        """Connect once more and publish; return why that failed. If it did not, a lost link tries again at once."""
        problem = await try_out(self._options, self._topics)
        if problem is None and self.problem is not None:
            self._retry.set()
        return problem

    async def finish(self, within_s: float) -> None:
        """Publish what waits and say goodbye, at most this long."""
        self._closing = True
        self._wake.set()
        if self._steadiness.connected:
            with anyio.move_on_after(within_s):
                await self._done.wait()

    async def _connected(self, client: aiomqtt.Client) -> None:
        """Subscribe, and prepare to publish everything."""
        self._steadiness.begin()
        await self._refresh()
        self._states.send_again()
        self._states.remove(self._record.topics - self._states.topics)
        if not self._record.known:
            self._states.remove(self._states.without_discovery)
        topics = [*self._states.held, *(self._topics.command(verb) for verb in self._commands)]
        if self._options.discovery:
            topics.append(self._topics.home_assistant)
        await client.subscribe([(topic, 1) for topic in topics])
        self._check_problem()

    def _check_problem(self) -> None:
        """The problem of a link that is connected: none, unless the connection will probably not last."""
        if self._steadiness.shaky:
            return
        if self.problem is not None:
            lost, self._reported = self.dropped - self._reported, self.dropped
            cost = f"; {counted(lost, 'event is', 'events are')} lost, since mqtt.queue holds {self._options.queue}"
            log.warning(
                "connected to the MQTT broker %s:%d%s",
                self._options.host,
                self._options.broker_port,
                cost if lost else "",
            )
        self.problem = None

    def _lost(self, error: Exception, pause_s: float) -> float:
        """Note why the connection was lost, or not made. Returns the pause before the next; `pause_s`: as planned."""
        why, was_connected = reason(error), self._steadiness.connected
        self._steadiness.end(closed=why.code == "link_closed")
        if was_connected and self._steadiness.shaky:
            why = _UNSTEADY
        if self.problem in (None, _CONNECTING) or (why == _UNSTEADY != self.problem):
            log.warning(
                "no connection to the MQTT broker %s:%d: %s", self._options.host, self._options.broker_port, why,
                extra={"kind": "mqtt", "reason": str(why)},
            )  # fmt: skip
        self.problem = why
        return _FIRST_PAUSE_S if was_connected and why != _UNSTEADY else pause_s

    async def _serve(self, client: aiomqtt.Client) -> None:
        """Send and listen until one of both fails; raises its error."""
        import aiomqtt

        errors: list[aiomqtt.MqttError] = []

        async def until_lost(part: Callable[[aiomqtt.Client], Awaitable[None]]) -> None:
            try:
                await part(client)
            except aiomqtt.MqttError as error:
                errors.append(error)
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(until_lost, self._listen, name="mqtt listener")
            group.start_soon(until_lost, self._send, name="mqtt sender")
        if errors:
            raise errors[0]

    async def _send(self, client: aiomqtt.Client) -> None:
        """Send events, then changed states; returns when the link is closed and nothing waits."""
        await client.publish(self._topics.status, ONLINE, qos=1, retain=True)
        listening_until_s: float | None = self._clock() + _LISTEN_S
        while True:
            self._wake.clear()
            self._check_problem()
            if self._clock() >= self._refresh_s:
                await self._refresh()
            if await self._send_one(client):
                await asyncio.sleep(_BREATH_S)
                continue
            if self._closing:
                await client.publish(self._topics.status, OFFLINE, qos=1, retain=True)
                await self._record.save(at_once=True)
                return
            if listening_until_s is not None and self._clock() >= listening_until_s:
                listening_until_s = None  # what the device publishes itself need not come back
                await client.unsubscribe(self._states.held)
            with anyio.move_on_after(min(1.0, self._options.interval_s)):
                await self._wake.wait()

    async def _send_one(self, client: aiomqtt.Client) -> bool:
        """Send the next message, if there is one."""
        import aiomqtt

        event = self._events.take()
        if event is not None:
            topic = self._topics.camera_event(event.camera)
            try:
                await client.publish(topic, encoded(payload_of(event)), qos=self._options.event_qos)
            except aiomqtt.MqttCodeError as error:
                if error.rc == _queue_is_full():
                    self._events.put_back(event)  # in all other cases the client sends it after the next connection
                raise
            return True
        state = self._states.take()
        if state is None:
            return False
        topic, message = state
        await client.publish(topic, message, qos=1, retain=True)
        if not message:
            self._record.removed(topic)
        return True

    async def _refresh(self) -> None:
        self._refresh_s = self._clock() + self._options.interval_s
        await self._states.refresh()
        self._record.hold(self._states.topics)
        await self._record.save()

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            await self._heard(str(message.topic), message.payload, retained=bool(message.retain))

    async def _heard(self, topic: str, payload: bytes, *, retained: bool) -> None:
        if topic == self._topics.home_assistant and self._options.discovery:
            if payload == ONLINE.encode():
                self._states.send_again()
                self._wake.set()
        elif topic.startswith(f"{self._topics.commands}/"):
            if not retained:  # a retained order would be carried out again after each connection
                await self._obey(topic.removeprefix(f"{self._topics.commands}/"))
        elif retained and payload:
            self._states.found_at_broker(topic, payload)
            self._wake.set()

    async def _obey(self, verb: str) -> None:
        command = self._commands.get(verb)
        if command is None:
            return
        log.warning("command over MQTT: %s", verb, extra={"kind": "command"})
        try:
            await command()
        except Exception:
            log.exception("command over MQTT failed: %s", verb, extra={"kind": "command"})


def _queue_is_full() -> int:
    from paho.mqtt.enums import MQTTErrorCode

    return MQTTErrorCode.MQTT_ERR_QUEUE_SIZE
