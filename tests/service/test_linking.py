"""What the links receive about the device and its cameras."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from appliance.readings import Board
from appliance.service import linking
from appliance.settings import loader
from appliance.settings.schema.mqtt import MqttSettings
from appliance.settings.schema.webhook import WebhookSettings
from tests.conftest import Serve
from tests.fakes import FakeEngine

BOARD = Board(name="Raspberry Pi 5", revision=None, serial="1234")
SETTINGS = """
[cameras.yard]
classes = ["car", "stop sign"]
[cameras.gate.zones.door]
points = [[0, 0], [1, 0], [1, 1]]
classes = ["person"]
"""


def test_the_devices_name_is_stable_different_and_reveals_no_serial_number(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    by_serial = linking.device_id(MqttSettings(), "10000000abcdef01", tmp_path)
    by_machine = linking.device_id(MqttSettings(), None, tmp_path)
    assert by_serial == linking.device_id(MqttSettings(), "10000000abcdef01")
    assert len({by_serial, by_machine, linking.device_id(MqttSettings(), "10000000abcdef02")}) == 3
    assert "abcdef01" not in by_serial
    assert "89abcdef" not in by_machine
    assert linking.device_id(MqttSettings(device_id="pole-3"), "10000000abcdef01") == "pole-3"
    assert linking.device_id(MqttSettings(), None, tmp_path / "none")


def test_the_page_is_announced_with_its_scheme() -> None:
    encrypted = loader.load(flags={"server.host": "10.0.0.2", "server.port": "8080"})
    assert linking.device_facts(encrypted, BOARD).url == "https://10.0.0.2:8080/"
    plain = loader.load(flags={"server.host": "10.0.0.2", "server.port": "8080", "tls.enabled": "false"})
    assert linking.device_facts(plain, BOARD).url == "http://10.0.0.2:8080/"
    hidden = loader.load(flags={"server.host": "127.0.0.1", "server.port": "8080"})
    assert linking.device_facts(hidden, BOARD).url is None


async def test_each_known_camera_is_published_with_the_classes_that_it_reports(serve: Serve, tmp_path: Path) -> None:
    toml = tmp_path / "appliance.toml"
    toml.write_text(SETTINGS)
    async with serve(FakeEngine(), toml=toml) as running:
        parts = running.started.parts
        parts.vitals.sample()  # takes the settings' cameras into the roster
        plans = linking.camera_plans(parts.settings, parts.path.book, parts.vitals.snapshot())
        assert plans["gate"].classes == ("person", "car")
        assert plans["gate"].zones == (("door", ("person",)),)
        assert plans["yard"].classes == ("car",)
        assert not plans["gate"].picture
        loaded = loader.load(toml, flags={"mqtt.classes": "cat"})  # the model has no cats: what the camera reports
        plans = linking.camera_plans(loaded, parts.path.book, parts.vitals.snapshot())
        assert plans["yard"].classes == ("car", "stop sign")


def test_a_webhook_finds_a_camera_however_its_name_is_spelled() -> None:
    """TOML that was written on a Mac has accents as characters of their own."""
    decomposed = unicodedata.normalize("NFD", "Portão  principal ")
    receiver = WebhookSettings(url="https://receiver.lan/hook", cameras=(decomposed, "http-10.0.0.5"))
    assert linking.webhook_options("alarm", receiver).cameras == frozenset({"Portão principal", "http-10.0.0.5"})
