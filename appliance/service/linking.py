"""Build the links to other systems from the settings: MQTT, webhooks."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from appliance import __version__, camera_names
from appliance.camera_names import HTTP_PREFIX
from appliance.device import board
from appliance.device.state import StateFolder
from appliance.events.feed import EventFeed
from appliance.flow.cameras import CameraBook
from appliance.links.links import Links
from appliance.links.mqtt.link import Commands, MqttLink
from appliance.links.mqtt.options import DeviceFacts, MqttOptions, TlsOptions
from appliance.links.mqtt.publication import DeviceView
from appliance.links.mqtt.states import CameraPlan
from appliance.links.mqtt.topic_record import TopicRecord
from appliance.links.webhook import Webhook, WebhookOptions
from appliance.ports import Clock
from appliance.readings import Board
from appliance.service.addresses import addresses_from_outside
from appliance.settings.schema import Settings
from appliance.settings.schema.mqtt import MqttSettings
from appliance.settings.schema.webhook import WebhookSettings
from appliance.vitals.collect import Vitals
from appliance.vitals.snapshot import Snapshot

_MOST_CAMERAS = 100
"""Cameras that are published over MQTT, those that the settings name first."""
_MOST_CLASSES = 10
"""Of a camera that reports none of `mqtt.classes`."""


def build_links(
    settings: Settings,
    feed: EventFeed,
    book: CameraBook,
    vitals: Vitals,
    commands: Commands,
    folder: StateFolder | None,
    clock: Clock,
) -> Links:
    """The links that the settings name; they receive events from now on."""
    this = board.identify()
    identity = device_id(settings.mqtt, this.serial)
    webhooks = []
    for name, receiver in settings.webhooks.items():
        if receiver.url:
            webhook = Webhook(
                webhook_options(name, receiver),
                identity,
                clock=clock,
                wall_clock=time.time,
                clock_is_set=lambda: vitals.clock_is_set,
            )
            feed.add(webhook.receive)
            webhooks.append((name, webhook))
    if not settings.mqtt.host:
        return Links(webhooks=webhooks)
    options = mqtt_options(settings.mqtt, identity)
    device = DeviceView(
        facts=lambda: device_facts(settings, this),
        snapshot=vitals.snapshot,
        plans=lambda snapshot: camera_plans(settings, book, snapshot),
        feed=feed,
    )
    record = TopicRecord(folder, device_id(MqttSettings(), this.serial), clock)
    link = MqttLink(options, device, commands, record, clock)
    feed.add(link.receive)
    return Links(link, f"{options.host}:{options.broker_port}", webhooks)


def device_id(mqtt: MqttSettings, serial: str | None, root: Path = Path("/")) -> str:
    """The device's name in topics: as set, or made from what is different on each machine, without showing it."""
    if mqtt.device_id:
        return mqtt.device_id
    unique = serial
    if unique is None:
        try:
            unique = (root / "etc/machine-id").read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            unique = ""
    digest = hashlib.blake2b((unique or socket.gethostname()).encode(), digest_size=5, person=b"appliance")
    return f"appliance-{digest.hexdigest()}"


def device_facts(settings: Settings, this: Board) -> DeviceFacts:
    """How the device introduces itself to Home Assistant now."""
    server = settings.server
    pages = addresses_from_outside(server.host, server.port, tls=settings.tls.enabled) if server.port else []
    return DeviceFacts(
        name=socket.gethostname(),
        version=__version__,
        model=this.name,
        serial=this.serial,
        url=pages[0] if pages else None,
    )


def mqtt_options(mqtt: MqttSettings, identity: str) -> MqttOptions:
    return MqttOptions(
        host=mqtt.host,
        device_id=identity,
        port=mqtt.port,
        username=mqtt.username,
        password=mqtt.password,
        tls=TlsOptions(mqtt.ca_file, mqtt.cert_file, mqtt.key_file) if mqtt.tls else None,
        topic=mqtt.topic,
        discovery=mqtt.discovery,
        interval_s=mqtt.interval_s,
        timeout_s=mqtt.timeout_s,
        queue=mqtt.queue,
        event_qos=mqtt.event_qos,
        pictures=mqtt.pictures,
        commands=mqtt.commands,
    )


def webhook_options(name: str, receiver: WebhookSettings) -> WebhookOptions:
    return WebhookOptions(
        name=name,
        url=receiver.url,
        secret=receiver.secret,
        ca_file=receiver.ca_file,
        types=frozenset(receiver.types),
        cameras=frozenset(camera_names.looked_up(camera) or camera for camera in receiver.cameras) or None,
        classes=frozenset(receiver.classes) or None,
        timeout_s=receiver.timeout_s,
        give_up_s=receiver.give_up_s,
        queue=receiver.queue,
    )


def camera_plans(settings: Settings, book: CameraBook, snapshot: Snapshot) -> Mapping[str, CameraPlan]:
    """What to publish of each camera: of those that are known and have a name of their own."""
    known = [name for name in snapshot.known_cameras if not name.startswith(HTTP_PREFIX)]
    known.sort(key=lambda name: (not snapshot.known_cameras[name].configured, name))
    model = snapshot.engine.model.classes if snapshot.engine.model else ()
    picture = settings.mqtt.pictures and settings.server.keep_pictures
    plans = {}
    for name in known[:_MOST_CAMERAS]:
        view = book.view_of(name)
        reported = [one for one in model if view.classes is None or one in view.classes]
        classes = tuple(one for one in settings.mqtt.classes if one in reported) or tuple(reported[:_MOST_CLASSES])
        zones = tuple(
            (zone.name, tuple(one for one in classes if zone.classes is None or one in zone.classes))
            for zone in view.zones
        )
        plans[name] = CameraPlan(name, classes, zones, picture, snapshot.known_cameras[name].label)
    return plans
