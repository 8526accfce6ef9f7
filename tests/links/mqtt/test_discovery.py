"""The messages for Home Assistant: keys that its documentation allows, and no two parts with one identity."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.links.mqtt import discovery
from appliance.links.mqtt.options import DeviceFacts, MqttOptions
from appliance.links.mqtt.retained import Retained
from appliance.links.mqtt.states import CameraPlan
from appliance.links.mqtt.topics import Topics, slug

TOPICS = Topics(MqttOptions("broker", "box"))
FACTS = DeviceFacts("pole-3", "0.1.0", "Raspberry Pi 5", "1234", "http://10.0.0.2:8080/")
PLAN = CameraPlan("gate", ("person", 'a "car"'), (("yard's", ("person",)),), picture=True)
KEYS = {
    "sensor": {"device_class", "unit_of_measurement", "state_class", "options"},
    "binary_sensor": {"device_class", "json_attributes_topic", "json_attributes_template"},
    "image": {"image_topic", "content_type"},
    "event": {"event_types", "state_topic"},
    "button": {"command_topic"},
}
"""The documented options that we use, by platform."""


def configs() -> list[dict[str, Any]]:
    return [
        discovery.device_config(TOPICS, FACTS, ("self_test",)),
        discovery.device_config(TOPICS, DeviceFacts("pole-3", "0.1.0", None, None, None), ()),
        discovery.camera_config(TOPICS, FACTS, PLAN),
    ]


@pytest.mark.parametrize("config", configs())
def test_a_message_has_only_documented_keys(config: dict[str, Any]) -> None:
    assert set(config) == {"device", "origin", "availability_topic", "state_topic", "components"}
    allowed = {"identifiers", "name", "model", "sw_version", "serial_number", "configuration_url", "via_device"}
    assert {"identifiers", "name"} <= set(config["device"]) <= allowed
    assert config["origin"]["name"]
    for component in config["components"].values():
        common = {"platform", "unique_id", "name", "value_template", "entity_category"}
        assert {"platform", "unique_id"} <= set(component) <= common | KEYS[component["platform"]]


def test_each_part_has_an_identity_of_its_own() -> None:
    device, _, camera = configs()
    parts = [*device["components"].values(), *camera["components"].values()]
    assert len({part["unique_id"] for part in parts}) == len(parts)
    assert camera["device"]["via_device"] == device["device"]["identifiers"][0]


def test_a_camera_is_shown_by_its_label_and_keeps_its_identity() -> None:
    plain = discovery.camera_config(TOPICS, FACTS, CameraPlan("gate", ()))
    labelled = discovery.camera_config(TOPICS, FACTS, CameraPlan("gate", (), label="Main gate"))
    assert (plain["device"]["name"], labelled["device"]["name"]) == ("gate", "Main gate")
    assert plain["device"]["identifiers"] == labelled["device"]["identifiers"]
    assert plain["components"] == labelled["components"]


def test_pictures_and_buttons_are_announced_only_where_they_are_allowed() -> None:
    assert "picture" not in discovery.camera_config(TOPICS, FACTS, CameraPlan("gate", ()))["components"]
    assert "self_test" not in configs()[1]["components"]


def test_the_number_of_components_is_bounded() -> None:
    many = tuple(f"class {number}" for number in range(500))
    plan = CameraPlan("gate", many, tuple((f"zone {number}", many) for number in range(16)))
    assert len(discovery.camera_config(TOPICS, FACTS, plan)["components"]) <= discovery.MOST_COMPONENTS


@given(st.text(min_size=1, max_size=64), st.text(min_size=1, max_size=64))
def test_names_stay_different_and_fit_into_topics(one: str, other: str) -> None:
    assert (TOPICS.camera_state(one) == TOPICS.camera_state(other)) is (one == other)
    assert (slug(one) == slug(other)) is (one == other)
    assert set(slug(one)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert TOPICS.camera_in(TOPICS.camera_state(one)) == one
    assert TOPICS.camera_state(one).count("/") == TOPICS.camera_state("gate").count("/")
    assert not {"+", "#"} & set(TOPICS.camera_state(one))
    assert TOPICS.camera_in(TOPICS.camera_event(one)) is None


def test_a_component_that_is_gone_is_removed_by_its_platform_alone() -> None:
    before = discovery.camera_config(TOPICS, FACTS, PLAN)
    after = discovery.camera_config(TOPICS, FACTS, CameraPlan("gate", ("person",)))
    both = discovery.without_former(after, json.dumps(before).encode())
    assert both is not None
    assert both["components"]["picture"] == {"platform": "image"}
    assert both["components"] | after["components"] == both["components"]
    assert discovery.without_former(after, json.dumps(after).encode()) is None
    assert discovery.without_former(after, json.dumps(both).encode()) is None  # it has removed them already


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "foreign",
    [
        b"", b"nonsense", b"[]", b"{}", b'{"components": 5}', b'{"components": {"a": 5}}', b"\xff", DEEP,
        b'{"components": {"a": {"platform": "image", "x": %b}}}' % DEEP,
        b'{"components": {}, "x": %b}' % DEEP,
        b'{"components": {"\\ud800 alone": {"platform": "image", "x": 1}}}',
        b'{"components": {"a": {"platform": "image", "x": "%b"}}}' % (b"x" * 1_000_000),
    ],
    ids=lambda foreign: str(foreign[:50]),
)  # fmt: skip
def test_what_others_have_left_at_the_broker_is_ignored(foreign: bytes) -> None:
    assert discovery.without_former(discovery.camera_config(TOPICS, FACTS, PLAN), foreign) is None


def literals(template: str) -> list[str]:
    """The texts in a template, as Jinja reads them (jinja2/lexer.py, TOKEN_STRING)."""
    quoted = re.findall(r'"(?:[^"\\]|\\.)*"', template)
    return [text[1:-1].encode("ascii", "backslashreplace").decode("unicode-escape") for text in quoted]


@given(st.text(min_size=1, max_size=64), st.text(min_size=1, max_size=64))
@example("\N{GRINNING FACE}", "entrance \N{HOUSE BUILDING}")
def test_templates_name_classes_and_zones_as_they_are(name: str, zone: str) -> None:
    plan = CameraPlan("gate", (), ((zone, (name,)),))
    components = discovery.camera_config(TOPICS, FACTS, plan)["components"]
    counts = [part["value_template"] for key, part in components.items() if key.endswith(("_count", "_occupancy"))]
    assert [literals(template) for template in counts] == [[zone, name]] * 2


def test_only_what_changed_is_sent_and_everything_after_a_new_connection() -> None:
    retained = Retained()

    def sent() -> list[tuple[str, bytes]]:
        return list(iter(retained.take, None))

    retained.want("a", b"1")
    retained.want("b", b"1")
    retained.want("a", b"2")
    assert sent() == [("a", b"2"), ("b", b"1")]
    retained.want("a", b"2")
    assert sent() == []
    retained.want("a", b"4", before=b"3")
    assert sent() == [("a", b"3"), ("a", b"4")]
    retained.send_again()
    assert sent() == [("a", b"4"), ("b", b"1")]
    retained.remove(["a", "unknown"])
    assert sent() == [("a", b""), ("unknown", b"")]
    retained.send_again()
    assert sent() == [("b", b"1")]
