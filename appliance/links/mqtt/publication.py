"""What the broker should hold of this device: states, and discovery for Home Assistant."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from appliance import camera_names
from appliance.events.feed import EventFeed
from appliance.events.object_event import ObjectEvent
from appliance.links.mqtt import discovery
from appliance.links.mqtt.options import USUAL_DISCOVERY, DeviceFacts, MqttOptions
from appliance.links.mqtt.retained import Retained
from appliance.links.mqtt.states import CameraPlan, camera_state, device_state
from appliance.links.mqtt.topics import Topics
from appliance.vitals.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class DeviceView:
    """What the link asks about the device at each refresh. `facts`: its address may have changed. `plans`: what to
    publish of each camera.
    """

    facts: Callable[[], DeviceFacts]
    snapshot: Callable[[], Snapshot]
    plans: Callable[[Snapshot], Mapping[str, CameraPlan]]
    feed: EventFeed


class Publication:
    """The retained messages of the device and its cameras; `take` returns those that have changed."""

    def __init__(self, options: MqttOptions, topics: Topics, device: DeviceView, commands: tuple[str, ...]) -> None:
        self._options, self._topics, self._device, self._commands = options, topics, device, commands
        self._retained = Retained()
        self._plans: Mapping[str, CameraPlan] = {}
        self._snapshot: Snapshot | None = None
        self._touched: dict[str, str] = {}
        """Cameras with events since their state was brought up to date, each with the object of the latest event."""

    @property
    def held(self) -> list[str]:
        """The topics under which the broker may hold something of an earlier run."""
        held = [self._topics.any_camera_state]
        if not any(plan.picture for plan in self._plans.values()):
            held.append(self._topics.any_camera_picture)  # of the time when they were allowed
        if self._options.discovery:
            held += [self._topics.device_config(), *(self._topics.camera_config(camera) for camera in self._plans)]
        return held

    @property
    def topics(self) -> set[str]:
        """The topics under which the broker should hold something."""
        topics = {self._topics.status, self._topics.state}
        if self._options.discovery:
            topics.add(self._topics.device_config())
        for camera, plan in self._plans.items():
            topics.update(self._topics.of_camera(camera))
            if not plan.picture:
                topics.discard(self._topics.camera_picture(camera))
        return topics

    @property
    def without_discovery(self) -> list[str]:
        """Where discovery is off: the topics that it has by default, in case it was on."""
        if self._options.discovery:
            return []
        usual = Topics(replace(self._options, discovery=USUAL_DISCOVERY))
        return [usual.device_config(), *(usual.camera_config(camera) for camera in self._plans)]

    def remove(self, topics: Iterable[str]) -> None:
        """Remove topics from the broker. Home Assistant's come first: without its state, a sensor would be reported."""
        self._retained.remove(sorted(topics, key=lambda topic: not topic.endswith("/config")))

    def touch(self, event: ObjectEvent) -> None:
        """Note that the state of a camera has changed."""
        if event.camera in self._plans:
            self._touched[event.camera] = event.object_id

    def send_again(self) -> None:
        """Send everything again: the broker, or Home Assistant, may have lost it."""
        self._retained.send_again()

    def take(self) -> tuple[str, bytes] | None:
        """The next message to send; None: nothing has changed."""
        for camera, object_id in self._touched.items():
            if camera in self._plans:
                self._want_camera_state(camera)
                self._want_picture(camera, object_id)
        self._touched.clear()
        return self._retained.take()

    async def refresh(self) -> None:
        """Bring all states up to date, in steps that leave the loop to others."""
        self._snapshot = snapshot = self._device.snapshot()
        plans = self._device.plans(snapshot)
        for gone in self._plans.keys() - plans.keys():
            self._retained.remove(self._topics.of_camera(gone))
        for camera in self._plans.keys() & plans.keys():
            if self._plans[camera].picture and not plans[camera].picture:
                self._retained.remove([self._topics.camera_picture(camera)])
        self._plans = plans
        facts = self._device.facts()
        updates = snapshot.update is not None
        config = discovery.device_config(self._topics, facts, self._commands, updates=updates)
        self._want_config(self._topics.device_config(), config)
        self._retained.want(self._topics.state, encoded(device_state(snapshot)))
        for camera, plan in plans.items():
            await asyncio.sleep(0)
            self._want_config(self._topics.camera_config(camera), discovery.camera_config(self._topics, facts, plan))
            self._want_camera_state(camera)

    def found_at_broker(self, topic: str, payload: bytes) -> None:
        """Remove what an earlier run has left at the broker."""
        camera, pictured = self._topics.camera_in(topic), self._topics.camera_in(topic, "picture")
        if pictured is not None:
            if pictured not in self._plans or not self._plans[pictured].picture:
                self._retained.remove([topic])
        elif camera is None:
            if self._retained[topic]:
                self._want_config(topic, json.loads(self._retained[topic]), payload)
        elif camera_names.normal(camera) != camera or self._topics.camera_state(camera) != topic:
            self._retained.remove([topic])  # not ours; a broker may refuse the other topics that such a name gives
        elif camera not in self._plans:
            self._retained.remove(self._topics.of_camera(camera))

    def _want_config(self, topic: str, config: dict[str, object], former: bytes | None = None) -> None:
        """Hold a discovery message. `former`: the one at the broker; None: the one that was wanted before."""
        if not self._options.discovery:
            return
        message, former = encoded(config), self._retained[topic] if former is None else former
        both = discovery.without_former(config, former) if former != message else None
        self._retained.want(topic, message, encoded(both) if both else None)

    def _want_camera_state(self, camera: str) -> None:
        assert self._snapshot is not None  # the plans come with it
        state = camera_state(self._plans[camera], self._snapshot, self._device.feed.occupancy(camera))
        self._retained.want(self._topics.camera_state(camera), encoded(state))

    def _want_picture(self, camera: str, object_id: str) -> None:
        frame = self._device.feed.pictures.get(object_id) if self._plans[camera].picture else None
        if frame is not None and frame.picture.format == "jpeg":
            self._retained.want(self._topics.camera_picture(camera), frame.picture.data)


def encoded(payload: Mapping[str, object]) -> bytes:
    """The JSON of a message."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
