"""Home Assistant's update entity: what could be installed, and the command that does so."""

from __future__ import annotations

from appliance.links.mqtt.discovery import INSTALL, device_config
from appliance.links.mqtt.options import DeviceFacts, MqttOptions
from appliance.links.mqtt.states import update_state
from appliance.links.mqtt.topics import Topics
from appliance.vitals.snapshot import UpdateView

_TOPICS = Topics(MqttOptions(host="broker", device_id="box"))
_FACTS = DeviceFacts(name="box", version="1.0", model=None, serial=None, url=None)


def test_the_entity_installs_only_where_commands_are_on() -> None:
    off = device_config(_TOPICS, _FACTS, (), updates=True)["components"]["update"]
    assert "command_topic" not in off
    components = device_config(_TOPICS, _FACTS, ("self_test", INSTALL), updates=True)["components"]
    assert components["update"]["command_topic"] == "appliance/box/command/install_update"
    assert components["update"]["payload_install"] == "install"
    assert INSTALL not in components
    assert "self_test" in components


def test_a_service_that_is_not_installed_has_no_entity() -> None:
    assert "update" not in device_config(_TOPICS, _FACTS, ())["components"]


def test_the_state_has_the_keys_that_home_assistant_accepts() -> None:
    state = update_state(UpdateView(installed="1.0", latest="1.1", notes="x" * 300, on_trial=True))
    assert state == {
        "installed_version": "1.0", "latest_version": "1.1", "release_summary": "x" * 255, "in_progress": True,
    }  # fmt: skip
