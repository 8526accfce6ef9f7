"""Settings: precedence, error texts, salvage, and the round trip of `config show`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct

from appliance import files
from appliance.errors import ConfigError
from appliance.redaction import redact
from appliance.settings import loader, sources
from appliance.settings.requirements import requirement
from appliance.settings.schema import PROFILES, Settings
from appliance.settings.schema.camera import CameraSettings
from appliance.settings.schema.flow import FlowSettings
from appliance.settings.schema.model import ModelSettings
from appliance.settings.schema.server import ServerSettings
from appliance.settings.sources import SettingsDenied

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def load(
    text: str = "", environ: dict[str, str] | None = None, flags: dict[str, str] | None = None, *, folder: Path
) -> Settings:
    path = folder / "appliance.toml"
    path.write_text(text, encoding="utf-8")
    return loader.load(path, environ, flags)


def refused(text: str = "", *, folder: Path, **sources: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, **sources, folder=folder)
    assert caught.value.code == "config_invalid"
    return str(caught.value)


def test_without_sources_the_production_defaults_apply() -> None:
    loaded = loader.load()
    assert loaded.profile == "production"
    assert loaded.flow.min_interval_s == 1.0
    assert loaded.server.port == 8080


def test_each_source_overrides_the_previous_ones(tmp_path: Path) -> None:
    toml, environ, flags = (
        "[flow]\nmin_interval_s = 3",
        {"APPLIANCE_FLOW_MIN_INTERVAL_S": "4"},
        {"flow.min_interval_s": "5"},
    )
    bare = 'profile = "development"\n'
    assert Settings().flow.min_interval_s == 0.0
    assert load(bare, folder=tmp_path).flow.min_interval_s == 2.0
    assert load(bare + toml, folder=tmp_path).flow.min_interval_s == 3.0
    assert load(bare + toml, environ, folder=tmp_path).flow.min_interval_s == 4.0
    assert load(bare + toml, environ, flags, folder=tmp_path).flow.min_interval_s == 5.0


def test_each_source_can_set_the_profile(tmp_path: Path) -> None:
    toml, environ = 'profile = "development"', {"APPLIANCE_PROFILE": "realtime"}
    assert load(toml, folder=tmp_path).profile == "development"
    assert load(toml, environ, folder=tmp_path).profile == "realtime"
    assert load(toml, environ, {"profile": "production"}, folder=tmp_path).profile == "production"


def test_a_source_changes_only_the_keys_it_contains(tmp_path: Path) -> None:
    loaded = load(
        "[server]\nhost = '10.0.0.1'", {"APPLIANCE_SERVER_PORT": "81"}, {"log.level": "error"}, folder=tmp_path
    )
    assert (loaded.server.host, loaded.server.port, loaded.log.level) == ("10.0.0.1", 81, "error")
    assert loaded.server.max_frame_bytes == Settings().server.max_frame_bytes
    assert loaded.model == Settings().model


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("development", {"flow.min_interval_s": 2.0, "flow.max_side": 640, "log.level": "debug"}),
        ("production", {"flow.min_interval_s": 1.0, "log.level": "warning"}),
        ("realtime", {"flow.min_interval_s": 0.0}),
    ],
)  # fmt: skip
def test_a_profile_sets_its_defaults(profile: str, expected: dict[str, object]) -> None:
    loaded = loader.load(flags={"profile": profile})
    for key, value in expected.items():
        section, name = key.split(".")
        assert getattr(getattr(loaded, section), name) == value, key
    assert loaded.cache.enabled
    assert loaded.governor.enabled


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_entry_of_a_profile_is_a_valid_setting(profile: str) -> None:
    for section, entries in PROFILES[profile].items():
        for key, value in entries.items():
            loaded = getattr(getattr(loader.load(flags={"profile": profile}), section), key)
            assert loaded == (tuple(value) if isinstance(value, list) else value)


def test_an_unknown_key_error_names_the_source_and_the_nearest_key(tmp_path: Path) -> None:
    text = refused("[server]\nprot = 80", folder=tmp_path)
    assert str(tmp_path / "appliance.toml") in text
    assert "'server.prot'" in text
    assert "did you mean 'port'?" in text
    text = refused(environ={"APPLIANCE_FLOW_MAXSIDE": "640"}, folder=tmp_path)
    assert "APPLIANCE_FLOW_MAXSIDE" in text
    assert "did you mean 'max_side'?" in text
    text = refused(flags={"cache.entrys": "5"}, folder=tmp_path)
    assert "command line: unknown key 'cache.entrys" in text
    assert "did you mean 'entries'?" in text


def test_an_unknown_section_error_names_the_nearest_section(tmp_path: Path) -> None:
    assert "did you mean 'server'?" in refused("[sever]\nport = 80", folder=tmp_path)
    assert "did you mean 'governor'?" in refused(environ={"APPLIANCE_GOVERNER_ENABLED": "0"}, folder=tmp_path)
    assert "did you mean 'model'?" in refused(flags={"modle.name": "x"}, folder=tmp_path)
    assert "did you mean 'profile'?" in refused(flags={"profil": "x"}, folder=tmp_path)


def test_an_unknown_key_error_lists_all_keys_when_none_is_similar(tmp_path: Path) -> None:
    assert "valid keys: enabled, entries, max_bytes, ttl_s" in refused("[cache]\nzzz = 1", folder=tmp_path)


def test_an_unknown_camera_key_error_names_the_camera(tmp_path: Path) -> None:
    text = refused("[cameras.gate]\nwieght = 2", folder=tmp_path)
    assert "'cameras.gate.wieght'" in text
    assert "did you mean 'weight'?" in text


@pytest.mark.parametrize(
    ("toml", "parts"),
    [
        ("[server]\nport = '80'", ["server.port = '80'", "must be a whole number from 0 to 65535", "TCP port"]),
        ("[server]\nport = 99999", ["server.port", "from 0 to 65535"]),
        ("[server]\nport = true", ["server.port", "must be a whole number"]),
        ("[server]\ncompression = 1", ["server.compression", "must be true or false"]),
        ("[server]\ncors_origins = 'all'", ["server.cors_origins", "must be a list"]),
        ("[server]\ncors_origins = [5]", ["server.cors_origins", "each item is a string"]),
        (
            "[server]\nallowed_hosts = ['http://a.example']",
            ["server.allowed_hosts", "a host name without scheme and port"],
        ),
        ("[model]\nmin_confidence = 0", ["model.min_confidence", "must be a number above 0 and below 1"]),
        ("[model]\nmin_confidence = 1.0", ["model.min_confidence", "must be a number above 0 and below 1"]),
        ("[model]\nname = ''", ["model.name", "must be a string that is not empty"]),
        ("[engine]\ndevice = 'TPU'", ["engine.device", "must be CPU, GPU, NPU, AUTO"]),
        ("[engine]\nkind = 'An Abacus'", ["engine.kind", "An Abacus", "such as openvino"]),
        ("[flow]\nmax_side = 63", ["flow.max_side", "from 64 to 2048"]),
        ("[log]\nlevel = 'loud'", ["log.level", "loud", "must be debug, info, warning or error"]),
        ("profile = 'holiday'", ["profile", "holiday", "must be development, production or realtime"]),
        ("profile = 5", ["profile"]),
        ("[cameras.gate]\npriority = 12", ["cameras.gate.priority", "9"]),
        ("server = 5", ["server is a section", "[server]"]),
        ("cameras = 5", ["cameras is a section"]),
        ("[cameras]\ngate = 'token'", ["cameras.gate is a section", "[cameras.gate]"]),
    ],
)
def test_an_invalid_value_error_says_which_values_are_accepted(toml: str, parts: list[str], tmp_path: Path) -> None:
    text = refused(toml, folder=tmp_path)
    for part in [str(tmp_path / "appliance.toml"), *parts]:
        assert part in text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("server.port", "eighty"),
        ("server.port", "-1"),
        ("server.compression", "perhaps"),
        ("flow.min_interval_s", "-0.1"),
        ("flow.burst", "2.5"),
        ("model.iou", "1.01"),
        ("profile", "holiday"),
        ("server", "5"),
        ("cameras.gate", "token"),
    ],
)
def test_an_invalid_value_from_the_environment_or_a_flag_is_rejected(key: str, value: str, tmp_path: Path) -> None:
    text = refused(flags={key: value}, folder=tmp_path)
    assert "command line: " in text
    assert key.partition(".")[0] in text
    name = sources.PREFIX + key.upper().replace(".", "_")
    assert name in refused(environ={name: value}, folder=tmp_path)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("key", ["flow.min_interval_s", "governor.target_temp_c", "server.drain_s", "cache.ttl_s"])
def test_a_number_must_be_finite(key: str, value: str, tmp_path: Path) -> None:
    section, name = key.split(".")
    assert key in refused(f"[{section}]\n{name} = {value}", folder=tmp_path)
    assert key in refused(flags={key: value}, folder=tmp_path)


def test_environment_values_are_converted_to_the_type_of_the_setting(tmp_path: Path) -> None:
    environ = {
        "APPLIANCE_SERVER_PORT": "9000",
        "APPLIANCE_SERVER_COMPRESSION": "false",
        "APPLIANCE_FLOW_MAX_AGE_S": "0.5",
        "APPLIANCE_SERVER_CORS_ORIGINS": "http://a.example, https://b.example:8443 ,",
        "APPLIANCE_MODEL_NAME": "007",
        "HOME": "/root",
    }
    loaded = load("", environ, folder=tmp_path)
    assert loaded.server.port == 9000
    assert loaded.server.compression is False
    assert loaded.flow.max_age_s == 0.5
    assert loaded.server.cors_origins == ("http://a.example", "https://b.example:8443")
    assert loaded.model.name == "007"


@pytest.mark.parametrize(
    ("text", "origins"), [("*", ("*",)), ("", ()), ("a", ("a",)), ("a,b", ("a", "b")), (" , ", ())]
)
def test_commas_separate_the_items_of_a_list(text: str, origins: tuple[str, ...]) -> None:
    assert loader.load(flags={"server.cors_origins": text}).server.cors_origins == origins


def test_variables_that_are_not_settings_are_ignored() -> None:
    assert loader.load(environ={"APPLIANCE_CONFIG": "/x", "APPLIANCE_TOKEN": "t", "PATH": "/bin"}) == loader.load()


def test_each_camera_has_its_own_section(tmp_path: Path) -> None:
    loaded = load('[cameras.gate]\nweight = 2\ntoken = "abc"\n[cameras."yard.2"]\npriority = 3', folder=tmp_path)
    assert list(loaded.cameras) == ["gate", "yard.2"]
    assert (loaded.cameras["gate"].weight, loaded.cameras["gate"].token) == (2.0, "abc")
    assert (loaded.cameras["yard.2"].weight, loaded.cameras["yard.2"].priority) == (1.0, 3)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"[server\n", "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
        (b"a=1\na=2", "not valid TOML"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
    ],
    ids=["section", "bytes", "twice", "nested"],
)
def test_a_file_that_is_not_toml_is_rejected(content: bytes, what: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"broken\.toml: is {what}"):
        loader.load(path)


def test_an_unreadable_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file"):
        loader.load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        loader.load(tmp_path)


@pytest.mark.parametrize(("target", "critical"), [("84", "84"), ("90", "84"), ("75", "60")])
def test_the_critical_temperature_must_be_above_the_target(target: str, critical: str, tmp_path: Path) -> None:
    flags = {"governor.target_temp_c": target, "governor.critical_temp_c": critical}
    text = refused(flags=flags, folder=tmp_path)
    assert "governor.critical_temp_c" in text
    assert "governor.target_temp_c" in text
    assert loader.load(flags=flags | {"governor.critical_temp_c": "110"}).governor.critical_temp_c == 110


def test_an_error_names_the_line_in_the_file(tmp_path: Path) -> None:
    text = '# the device\n[server]\nport = 80\n\n[cameras."yard.2"]\n  wieght = 2\n'
    assert f"{tmp_path / 'appliance.toml'}, line 6: unknown key 'cameras.yard.2.wieght'" in refused(
        text, folder=tmp_path
    )
    assert "line 2: server.port = 'x'" in refused("[server]\nport = 'x'", folder=tmp_path)
    assert "line 3: unknown key 'sever'" in refused("\n\n[sever]\nport = 1", folder=tmp_path)
    assert "line 1: profile = 'x'" in refused("profile = 'x'", folder=tmp_path)
    assert "toml: unknown key 'server.prot'" in refused(
        "server = { prot = 1 }", folder=tmp_path
    )  # an inline table has no line number


@pytest.mark.parametrize(
    "key", ["server.viewer_token", "server.api_key", "cameras.gate.token", "mqtt.password", "webhooks.alarm.secret"]
)
def test_an_error_never_shows_a_secret(key: str, tmp_path: Path) -> None:
    section, _, name = key.rpartition(".")
    text = refused(f"[{section}]\n{name} = 271828", folder=tmp_path)
    assert key in text
    assert "271828" not in text


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    """A credentials folder as systemd creates it."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    return folder


def test_secrets_are_read_from_systemd_credentials(credentials: Path, tmp_path: Path) -> None:
    (credentials / "server.viewer_token").write_text("view\n")
    (credentials / "appliance_server.api_key").write_text("key")
    (credentials / "cameras.yard.2.token").write_text("yard")
    (credentials / "mqtt.password").write_text("broker")
    (credentials / "webhooks.alarm.secret").write_text("signed")
    environ = {"CREDENTIALS_DIRECTORY": str(credentials)}
    loaded = load('[server]\nviewer_token = "old"\n[cameras."yard.2"]\nweight = 2', environ, folder=tmp_path)
    assert (loaded.server.viewer_token, loaded.server.api_key) == ("view", "key")
    assert (loaded.cameras["yard.2"].token, loaded.cameras["yard.2"].weight) == ("yard", 2)
    assert (loaded.mqtt.password, loaded.webhooks["alarm"].secret) == ("broker", "signed")
    environ["APPLIANCE_SERVER_API_KEY"] = "last"
    assert load("", environ, folder=tmp_path).server.api_key == "last"


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("server.api_key", b"\n", "is empty, which would allow access without a secret"),
        (
            "server.api_kye",
            b"key",
            "credential server.api_kye: unknown credential. Valid names: server.viewer_token, server.api_key",
        ),
        ("cameras.token", b"key", "unknown credential"),
        ("server.api_key", b"\xff\xfe", "must be UTF-8 text"),
    ],
)
def test_a_credential_that_protects_nothing_is_rejected(
    name: str, content: bytes, what: str, credentials: Path, tmp_path: Path
) -> None:
    (credentials / name).write_bytes(content)
    assert what in refused(environ={"CREDENTIALS_DIRECTORY": str(credentials)}, folder=tmp_path)


def test_a_missing_credentials_folder_means_no_credentials(tmp_path: Path) -> None:
    assert load("", {"CREDENTIALS_DIRECTORY": str(tmp_path / "none")}, folder=tmp_path).server.api_key == ""


def test_an_unreadable_credentials_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be read" in refused(environ={"CREDENTIALS_DIRECTORY": str(tmp_path / "file")}, folder=tmp_path)


@pytest.mark.parametrize(
    ("toml", "environ", "port"),
    [
        ("[server]\nport = 9000\n[flow]\nmax_sied = 1", {}, 9000),
        ("[server]\nport = 9000\nhots = '::'", {}, 9000),
        ("[server]\nport = 'x'", {}, 8080),
        ("[server\nport = 9000", {}, 8080),
        ("[server]\nport = 9000\n[flow]\nmax_sied = 1", {"APPLIANCE_SERVER_PORT": "9001"}, 9001),
        ("[server]\nport = 9000", {"APPLIANCE_SERVER_PROT": "9001"}, 9000),
        ("server = 5", {}, 8080),
        ("[governor]\ntarget_temp_c = 100\n[server]\nport = 9000", {}, 9000),
    ],
)
def test_a_device_with_invalid_settings_listens_at_its_configured_address(
    toml: str, environ: dict[str, str], port: int, tmp_path: Path
) -> None:
    refused(toml, environ=environ, folder=tmp_path)
    kept = loader.salvage(tmp_path / "appliance.toml", environ, {})
    assert kept == msgspec.structs.replace(loader.load(), server=msgspec.structs.replace(Settings().server, port=port))


def test_a_device_with_invalid_settings_keeps_its_certificate_its_rules_of_access_and_its_state(tmp_path: Path) -> None:
    toml = (
        "[flow]\nmax_sied = 1\n[tls]\ncertificate = '/c.pem'\nkey = '/k.pem'\nplain_http = 'perhaps'\n"
        "[access]\nloopback = 'nobody'\nhealth = 'none'\n[state]\ndir = '/srv/state'\nhistory = 3\n"
    )
    refused(toml, folder=tmp_path)
    kept = loader.salvage(tmp_path / "appliance.toml", {"APPLIANCE_ACCESS_METRICS": "anyone"}, {})
    assert (kept.tls.certificate, kept.tls.key, kept.tls.plain_http) == ("/c.pem", "/k.pem", "redirect")
    assert (kept.access.loopback, kept.access.health, kept.access.metrics) == ("nobody", "none", "anyone")
    assert (kept.state.dir, kept.state.history) == ("/srv/state", True)
    assert kept.flow == loader.load().flow


def test_a_certificate_without_its_key_is_not_kept(tmp_path: Path) -> None:
    refused("[tls]\ncertificate = '/c.pem'\n", folder=tmp_path)
    assert loader.salvage(tmp_path / "appliance.toml", {}, {}).tls == Settings().tls


def test_salvage_without_a_file_uses_the_defaults_and_the_flags(tmp_path: Path) -> None:
    kept = loader.salvage(tmp_path / "none.toml", {}, {"server.port": "9002"})
    assert kept == loader.load(flags={"server.port": "9002"})


def test_salvage_rejects_invalid_flags(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"command line: unknown key 'server\.prot"):
        loader.salvage(tmp_path / "none.toml", {}, {"server.prot": "1"})


def test_config_show_describes_every_setting() -> None:
    described = loader.describe(loader.load())
    lines = described.splitlines()
    for number, line in enumerate(lines):
        if " = " in line and not line.startswith("#"):
            assert lines[number - 1].startswith("# ")
            assert len(lines[number - 1]) > 10, line


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_config_show_output_loads_as_the_same_settings(profile: str, tmp_path: Path) -> None:
    loaded = loader.load(flags={"profile": profile})
    assert load(loader.describe(loaded), folder=tmp_path) == loaded


def test_config_show_hides_passwords_in_addresses() -> None:
    flags = {"camera.source": "rtsp://admin:hunter2/@camera/1", "camera.to": "http://me:hunter2@device"}
    described = loader.describe(loader.load(flags=flags))
    assert 'source = "rtsp://admin:***@camera/1"' in described
    assert "hunter2" not in described


def test_config_show_hides_secrets(tmp_path: Path) -> None:
    loaded = load('[server]\napi_key = "k3y"\nviewer_token = "v13w"\n[cameras.gate]\ntoken = "t0ken"', folder=tmp_path)
    described = loader.describe(loaded)
    for secret in ("k3y", "v13w", "t0ken"):
        assert secret not in described
    assert described.count('"(set)"') == 3


AREAS = """
[cameras.gate]
classes = ["person", "car"]
[cameras.gate.filters.person]
min_confidence = 0.6
min_share = 0.01
[cameras.gate.filters."*"]
min_height_px = 40
[cameras.gate.zones.yard]
points = [[0, 0.5], [1, 0.5], [1, 1], [0, 1]]
classes = ["person"]
[cameras.gate.masks."the street"]
points = [[0, 0], [1, 0], [0.5, 0.3]]
"""


def test_zones_masks_and_filters_of_a_camera_are_read_and_shown(tmp_path: Path) -> None:
    loaded = load(AREAS, folder=tmp_path)
    gate = loaded.cameras["gate"]
    assert gate.zones["yard"].points == ((0, 0.5), (1, 0.5), (1, 1), (0, 1))
    assert gate.masks["the street"].points[2] == (0.5, 0.3)
    assert gate.filters["person"].min_confidence == 0.6
    assert gate.filters["*"].min_height_px == 40
    assert load(loader.describe(loaded), folder=tmp_path) == loaded


@pytest.mark.parametrize(
    ("toml", "parts"),
    [
        ("zones.yard.points = [[0, 0], [1, 1]]", ["zones.yard.points", "a point [x, y]", "3 to 64 of them"]),
        ("zones.yard.points = [[0, 0], [1, 1], [1.1, 0]]", ["zones.yard.points", "x and y from 0 to 1"]),
        ("zones.yard.points = [[0, 0], [nan, 1], [1, 0]]", ["zones.yard.points", "x and y from 0 to 1"]),
        ("zones.yard.points = [[0, 0], [1, 1], [1, 0, 1]]", ["zones.yard.points"]),
        ("zones.yard.points = [[0, 0], [0.5, 0.5], [1, 1]]", ["zones.yard.points", "encloses no area"]),
        ("masks.street = {}", ["masks.street.points = []", "encloses no area", "Give at least three corners"]),
        ("zones.yard = [[0, 0], [1, 1], [1, 0]]", ["zones.yard is a section"]),
        ("zones = 5", ["cameras.gate.zones is a section"]),
        ("zones.yard.pionts = []", ["zones.yard.pionts", "did you mean 'points'?"]),
        ("filters.person.min_confidence = 2", ["filters.person.min_confidence", "from 0 to 1"]),
        ("filters.person = {min_share = 0.5, max_share = 0.1}", ["filters.person", "must not be above"]),
        ("zones = {" + ", ".join(f"z{n} = {{}}" for n in range(17)) + "}", ["zones", "at most 16 sections"]),
        ('zones."' + "x" * 300 + '".classes = []', ["a name must have at most"]),
    ],
)
def test_an_invalid_area_or_filter_is_named(toml: str, parts: list[str], tmp_path: Path) -> None:
    text = refused(f"[cameras.gate]\n{toml}", folder=tmp_path)
    assert all(part in text for part in parts), text


@pytest.mark.parametrize(
    ("toml", "parts"),
    [
        ("[mqtt]\ntopic = 'a/+/b'", ["mqtt.topic", "without wildcards"]),
        ("[mqtt]\ntopic = '/a'", ["mqtt.topic", "without a slash at its ends"]),
        ("[mqtt]\ndiscovery = 'homeassistant/'", ["mqtt.discovery", "without a slash at its ends"]),
        ("[mqtt]\ndevice_id = 'a b'", ["mqtt.device_id", "letters, digits"]),
        ("[mqtt]\nevent_qos = 0", ["mqtt.event_qos", "1 or 2"]),
        ("[webhooks.a]\nurl = 'ftp://x'", ["webhooks.a.url", "starts with http:// or https://"]),
        ("[webhooks.a]\ntypes = ['stop']", ["webhooks.a.types", "start, update or end"]),
        ("[webhooks]\nurl = 'http://x'", ["webhooks.url is a section"]),
    ],
)
def test_an_invalid_link_is_named(toml: str, parts: list[str], tmp_path: Path) -> None:
    text = refused(toml, folder=tmp_path)
    assert all(part in text for part in parts), text


def test_links_are_read_and_shown(tmp_path: Path) -> None:
    loaded = load('[mqtt]\nhost = "broker"\n[webhooks.alarm]\nurl = "https://u:pass@x/hook?token=1"', folder=tmp_path)
    assert loaded.webhooks["alarm"].types == ("start", "end")
    described = loader.describe(loaded)
    assert 'host = "broker"' in described
    assert "pass" not in described.split("[webhooks")[1].split("secret")[0]


HOOKS = [
    ("https://hooks.slack.com/services/T00/B00/S3CRET", "https://hooks.slack.com/***"),
    ("https://discord.com/api/webhooks/1/S3CRET?wait=true", "https://discord.com/***"),
    ("http://10.0.0.2:8123/api/webhook/S3CRET", "http://10.0.0.2:8123/***"),
    ("https://S3CRET@receiver.lan/", "https://receiver.lan"),
    ("https://u:S3CRET/x@receiver.lan/hook", "https://receiver.lan/***"),
    ("https://receiver.lan?key=S3CRET", "https://receiver.lan/***"),
    ("https://receiver.lan/hook?to=a@b&key=S3CRET", "https://receiver.lan/***"),
]


@pytest.mark.parametrize(("address", "shown"), HOOKS)
def test_of_a_webhook_address_scheme_and_host_are_shown(address: str, shown: str, tmp_path: Path) -> None:
    described = loader.describe(load(f"[webhooks.alarm]\nurl = '{address}'", folder=tmp_path))
    assert f'url = "{shown}"' in described
    assert "S3CRET" not in described


def test_an_invalid_address_is_named_without_its_secret(tmp_path: Path) -> None:
    text = refused("[webhooks.a]\nurl = 'hooks.slack.com/services/T00/S3CRET'", folder=tmp_path)
    assert "webhooks.a.url = 'hooks.slack.com/***'" in text
    assert "S3CRET" not in text
    assert "S3CRET" not in refused("[update]\nsource = 'http://u:S3CRET@updates.lan/'", folder=tmp_path)
    assert "S3CRET" not in refused("[site]\nbus_servers = ['nats://u:S3CRET@10.0.0.1:4222']", folder=tmp_path)


def test_keys_in_the_paths_of_other_addresses_are_not_shown(tmp_path: Path) -> None:
    described = loader.describe(
        load("[update]\nsource = 'https://u.lan/r/9f8e7d6c5b4a39281706/stable'", folder=tmp_path)
    )
    assert 'source = "https://u.lan/r/***/stable"' in described


names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=12).filter(
    lambda text: redact(text) == text  # what looks like a password is not shown
)
cameras = st.builds(
    CameraSettings,
    weight=st.floats(0.01, 100),
    priority=st.integers(0, 9),
    min_interval_s=st.floats(0, 3600),
)


@st.composite
def all_settings(draw: st.DrawFn) -> Settings:
    """Settings other than the defaults, including unusual ones."""
    return Settings(
        profile=draw(st.sampled_from(("development", "production", "realtime"))),
        server=ServerSettings(
            host=draw(names),
            port=draw(st.integers(0, 65535)),
            cors_origins=tuple(draw(st.lists(names, max_size=3))),
            ping_interval_s=draw(st.floats(1, 300)),
            compression=draw(st.booleans()),
        ),
        model=ModelSettings(name=draw(names), dir=draw(names), min_confidence=draw(st.floats(0.001, 0.999))),
        flow=FlowSettings(min_interval_s=draw(st.floats(0, 3600)), max_waiting_bytes=draw(st.integers(10**6, 10**10))),
        cameras=draw(st.dictionaries(names, cameras, max_size=3)),
    )


@given(all_settings())
@settings(max_examples=150, deadline=None)
def test_any_settings_survive_the_round_trip_through_toml(chosen: Settings) -> None:
    tree = tomllib.loads(loader.describe(chosen))
    assert msgspec.convert(tree, Settings, strict=True) == chosen


def test_an_installed_device_has_a_fixed_models_folder_by_default(tmp_path: Path) -> None:
    system = tmp_path / "etc/appliance/appliance.toml"
    system.parent.mkdir(parents=True)
    assert loader.default_path({}, tmp_path) is None
    system.write_text("[model]\niou = 0.5\n")
    assert loader.default_path({}, tmp_path) == system
    assert loader.load(system).model.dir == str(tmp_path / "opt/appliance/models")
    assert loader.load(system, {"APPLIANCE_MODEL_DIR": "mine"}).model.dir == "mine"
    system.write_text('[model]\ndir = "/elsewhere"\n')
    assert loader.load(system).model.dir == "/elsewhere"
    assert loader.load(None).model.dir == "models"
    assert loader.default_path({"APPLIANCE_CONFIG": "mine.toml"}, tmp_path) == Path("mine.toml")


def test_the_lines_of_a_file_are_found_in_one_pass(tmp_path: Path) -> None:
    """A bracket and 4,000 spaces in a text of several lines took 55 s."""
    file = tmp_path / "appliance.toml"
    file.write_text(f'[ site ]\nplace = 5\n[mqtt]\npassword = """\n[{" " * 30_000}\n"""\n', encoding="utf-8")
    code = "import sys; from pathlib import Path; from appliance.settings import loader; "
    code += "print(*loader.problems(Path(sys.argv[1]), {}), sep='\\n')"
    run = subprocess.run([sys.executable, "-c", code, file], timeout=60, check=True, capture_output=True, text=True)
    assert f"{file}, line 2: " in run.stdout


class Closed(type(Path())):  # type: ignore[misc]  # tests may run as root, which can access every folder
    def exists(self, **options: Any) -> bool:
        raise PermissionError(13, "Permission denied")


def test_an_inaccessible_settings_folder_error_suggests_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = loader.default_path({}, Closed(tmp_path))
    assert system == tmp_path / "etc/appliance/appliance.toml"

    def denied(*_: Any) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "read_plain", denied)
    with pytest.raises(ConfigError, match=r"appliance.toml: cannot be read: Permission denied. Use sudo."):
        loader.load(system)
    loader.salvage(system, {}, {})


def test_an_inaccessible_settings_file_error_says_what_lets_the_service_read_it(tmp_path: Path) -> None:
    file = tmp_path / "my settings.toml"
    assert str(SettingsDenied(file).for_the_service()) == (
        f"{file}: the service may not read it. Run `sudo chgrp appliance '{file}'`, then `sudo chmod g+rX '{file}'`"
    )
    missing = tmp_path / "etc/appliance.toml"  # like a folder that may not be entered
    assert f"`sudo chgrp appliance {missing.parent} {missing}`" in str(SettingsDenied(missing).for_the_service())


def numbers() -> list[tuple[str, type, Any]]:
    """The name, type and bounds of every numeric setting."""
    found = []
    for section, kind in get_type_hints(Settings).items():
        struct = get_args(kind)[1] if get_origin(kind) is dict else kind
        if isinstance(struct, type) and issubclass(struct, Struct):
            where = f"{section}.gate" if get_origin(kind) is dict else section
            for key, hint in get_type_hints(struct, include_extras=True).items():
                bare, *metas = get_args(hint) if get_origin(hint) is Annotated else (hint,)
                if bare in (int, float):
                    found.append((f"{where}.{key}", bare, metas[0] if metas else Meta()))
    return found


def test_the_list_of_numeric_settings_is_complete() -> None:
    assert {"server.port", "flow.max_age_s", "cameras.gate.weight"} < {name for name, _, _ in numbers()}


@pytest.mark.parametrize(("name", "bare", "meta"), numbers(), ids=[name for name, _, _ in numbers()])
def test_every_numeric_setting_has_both_bounds_and_its_error_shows_them(
    name: str, bare: type, meta: Meta, tmp_path: Path
) -> None:
    least, most = (one if one is not None else other for one, other in ((meta.ge, meta.gt), (meta.le, meta.lt)))
    assert least is not None, "a lower bound is missing"
    assert most is not None, "an upper bound is missing"
    section, _, key = name.rpartition(".")
    for value in (10**30, -(10**30), "inf", "-inf", "nan", "0x" + "f" * 5000):
        path = tmp_path / "appliance.toml"
        path.write_text(f"[{section}]\n{key} = {value}\n")
        with pytest.raises(ConfigError) as caught:
            loader.load(path)
        assert f"line 2: {name} = " in str(caught.value)
        assert requirement(Annotated[bare, meta]) in str(caught.value)
        assert str(least) in requirement(Annotated[bare, meta])
        assert str(most) in requirement(Annotated[bare, meta])
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("value", [r"a\u0000b", r"a\nb", r"\u001b[31m"])
@pytest.mark.parametrize("name", ["state.dir", "model.dir", "model.name", "server.host", "server.api_key"])
def test_control_characters_are_rejected(name: str, value: str, tmp_path: Path) -> None:
    section, _, key = name.partition(".")
    (tmp_path / "x.toml").write_text(f'[{section}]\n{key} = "{value}"\n')
    with pytest.raises(ConfigError, match="must not contain control characters"):
        loader.load(tmp_path / "x.toml")


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xef\xbb\xbf[server]\r\nport = 81\r\n")
    assert loader.load(tmp_path / "x.toml").server.port == 81


DAMAGED: dict[str, bytes] = {
    "NUL bytes inside": b"[server]\nport = 81\n" + bytes(4096),
    "only NUL bytes": bytes(4096),
    "not UTF-8": b"\xff\xfe[server]",
    "cut off": b"[server]\nport = ",
    "nested": b"a = " + b"[" * 100_000,
    "long number": b"[server]\nport = " + b"9" * 5000,
    "too large": b"#" * 2_000_000,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_named_and_the_environment_still_applies(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "appliance.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"appliance\.toml"):
        loader.load(path)
    assert loader.salvage(path, {"APPLIANCE_SERVER_PORT": "82"}, {}).server.port == 82


@pytest.mark.parametrize("what", ["folder", "pipe", "device", "loop", "nothing"])
def test_a_path_that_is_not_a_file_is_named_and_the_environment_still_applies(what: str, tmp_path: Path) -> None:
    path = tmp_path / "appliance.toml"
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "loop":
        path.symlink_to(path)
    with pytest.raises(ConfigError, match=r"appliance\.toml"):
        loader.load(path)
    assert loader.salvage(path, {"APPLIANCE_SERVER_PORT": "82"}, {}).server.port == 82


def test_names_of_cameras_keep_to_the_rule_for_names(tmp_path: Path) -> None:
    settings = tmp_path / "appliance.toml"
    settings.write_text('[cameras."Portão principal"]\ntoken = "x"\n')
    assert list(loader.load(settings).cameras) == ["Portão principal"]
    settings.write_text('[cameras."http-1"]\n')
    with pytest.raises(ConfigError, match="invalid camera name: use 1 to 64 printable characters"):
        loader.load(settings)
    settings.write_text('[cameras."Portão"]\n[cameras."Portão "]\n')
    with pytest.raises(ConfigError, match="name the same camera"):
        loader.load(settings)


def test_all_errors_are_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text("[server]\nport = 70000\nhots = 'x'\n[flow]\nmax_side = 'big'\n[sever]\nport = 1\n")
    environ = {"APPLIANCE_FLOW_BURST": "0", "APPLIANCE_NOTHING_AT_ALL": "1"}
    found = loader.problems(file, environ)
    for part in ("line 2: server.port", "unknown key 'server.hots'", "flow.max_side", "'sever'", "APPLIANCE_FLOW_BURST",
                 "APPLIANCE_NOTHING_AT_ALL"):  # fmt: skip
        assert sum(part in text for text in found) == 1, (part, found)
    assert len(found) == 6


def test_a_checkout_keeps_its_models_and_state(tmp_path: Path) -> None:
    loaded = loader.load(None, {}, {}, checkout=tmp_path)
    assert (loaded.model.dir, loaded.state.dir) == (str(tmp_path / "models"), str(tmp_path / ".state"))
    under_systemd = loader.load(None, {"STATE_DIRECTORY": "/var/lib/appliance"}, {}, checkout=tmp_path)
    assert under_systemd.state.dir == ""
    chosen = loader.load(None, {}, {"model.dir": "elsewhere"}, checkout=tmp_path)
    assert chosen.model.dir == "elsewhere"
