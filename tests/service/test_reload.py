"""A reload: which settings it changes, and what it reports."""

from __future__ import annotations

import asyncio
import re
from fnmatch import fnmatch
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import ConfigError
from appliance.service.reload import LIVE, Reload, changed, is_live
from appliance.settings import loader
from appliance.settings.schema import Settings
from appliance.settings.schema.camera import CameraSettings

ROOT = Path(__file__).parents[2]
KEYS = [
    f"{section}.{key}"
    for section, value in msgspec.to_builtins(Settings()).items()
    if isinstance(value, dict)
    for key in value
]


def with_(**flags: str) -> Settings:
    return loader.load(flags={key.replace("__", "."): value for key, value in flags.items()})


def test_every_live_key_is_a_setting() -> None:
    assert set(LIVE) - {"cameras"} <= set(KEYS)


def test_the_manual_lists_exactly_what_a_reload_changes() -> None:
    manual = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = manual.partition("## Reload\n")[2].partition("\nClients stay connected")[0]
    listed = re.findall(r"`(\w+\.[\w*]+)`", section)
    described = {key for pattern in listed for key in (*KEYS, "cameras.gate") if fnmatch(key, pattern)}
    assert described == {key for key in (*KEYS, "cameras.gate") if is_live(key)}


def test_changed_settings_are_named_with_their_section() -> None:
    before, after = with_(), with_(flow__burst="9", server__port="9", profile="realtime")
    assert changed(before, after) == [
        "cache.ttl_s", "flow.burst", "flow.min_interval_s", "flow.scene_gate", "log.level", "profile", "server.port"
    ]  # fmt: skip
    assert changed(before, before) == []


def test_cameras_are_named_one_by_one() -> None:
    gate, yard = CameraSettings(token="a"), CameraSettings(weight=2)
    before = Settings(cameras={"gate": gate, "yard": yard})
    after = Settings(cameras={"gate": msgspec.structs.replace(gate, token="b"), "door": yard})
    assert changed(before, after) == ["cameras.door", "cameras.gate", "cameras.yard"]
    assert all(map(is_live, changed(before, after)))


@given(st.sets(st.sampled_from(sorted(KEYS))))
@settings(max_examples=50, deadline=None)
def test_exactly_the_changed_keys_are_named(keys: set[str]) -> None:
    other = Settings()
    for key in keys:
        section, _, name = key.partition(".")
        old = getattr(other, section)
        new = msgspec.structs.replace(old, **{name: [getattr(old, name)]})  # any other value
        other = msgspec.structs.replace(other, **{section: new})
    assert changed(Settings(), other) == sorted(keys)


class Rig:
    """A reload with a settings file. `started_with`: the settings at the start."""

    def __init__(self, started_with: Settings | None = None, *, built_ahead: bool = False) -> None:
        self.written: Settings | ConfigError = with_()
        self.applied: list[Settings] = []
        self.reload = Reload(
            started_with or with_(), read=self._read, apply=self.applied.append, built_ahead=built_ahead
        )

    def _read(self) -> Settings:
        if isinstance(self.written, ConfigError):
            raise self.written
        return self.written

    def reads(self, written: Settings | ConfigError) -> None:
        self.written = written
        asyncio.run(self.reload.once())


def test_an_invalid_file_is_a_problem_until_a_valid_one_is_read() -> None:
    rig = Rig()
    assert rig.reload.problem is None
    rig.reads(ConfigError("appliance.toml, line 3: unknown key 'server.prot'"))
    assert rig.reload.problem == "appliance.toml, line 3: unknown key 'server.prot'"
    assert rig.applied == []
    rig.reads(with_())
    assert rig.reload.problem is None


def test_every_reload_logs_the_settings_that_need_a_restart(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    new = with_(engine__threads="1", flow__max_side="320")
    rig.reads(new)
    assert "settings reloaded; changed: flow.max_side" in caplog.text
    caplog.clear()
    rig.reads(new)
    assert "settings reloaded; changed: nothing" in caplog.text
    assert "restart the service to apply: engine.threads" in caplog.text


def test_a_prebuilt_engine_needs_a_restart_for_a_larger_input(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig(with_(flow__max_side="640"), built_ahead=True)
    for written, applied in ((1280, 640), (320, 320), (640, 640)):
        rig.reads(with_(flow__max_side=str(written)))
        assert rig.applied[-1].flow.max_side == applied
        needs_restart = "restart the service to apply: flow.max_side" in caplog.text
        assert needs_restart == (written > applied)
        caplog.clear()


def test_other_engines_get_a_larger_input_at_once() -> None:
    rig = Rig(with_(flow__max_side="640"))
    rig.reads(with_(flow__max_side="1280"))
    assert rig.applied[-1].flow.max_side == 1280
