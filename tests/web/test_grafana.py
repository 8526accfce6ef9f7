"""The dashboards, read by Grafana's own types: a key that they lack, or a value of another type, is a mistake of ours.

`make monitoring-test` installs Grafana's package and runs this.
"""

from __future__ import annotations

import enum
import inspect
import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

GRAFANA = "NOT TESTED: grafana-foundation-sdk is not installed; run `make monitoring-test`"
models = pytest.importorskip("grafana_foundation_sdk.models.dashboard", reason=GRAFANA)
plugins = pytest.importorskip("grafana_foundation_sdk.cog.plugins", reason=GRAFANA)
runtime = pytest.importorskip("grafana_foundation_sdk.cog.runtime", reason=GRAFANA)
encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder", reason=GRAFANA)

units = pytest.importorskip("grafana_foundation_sdk.models.units", reason=GRAFANA)

UNLISTED = "definition"
"""Of a variable: only Grafana's schema v2 lists it. Grafana shows it in the list of variables."""
FOLDER = Path(__file__).parents[2] / "provisioning"


@pytest.fixture(params=["monitoring", "fleet"])
def dashboard(request: pytest.FixtureRequest) -> Any:
    """As JSON."""
    plugins.register_default_plugins()
    return json.loads((FOLDER / request.param / "dashboard.json").read_text(encoding="utf-8"))


def test_grafana_knows_every_key_of_the_dashboards(dashboard: Any) -> None:
    read = models.Dashboard.from_json(dashboard)
    written = json.loads(encoder.JSONEncoder().encode(read))
    assert [path for path in lost(dashboard, written, "") if not path.endswith(f".{UNLISTED}")] == []


def test_every_value_of_the_dashboards_has_grafanas_type(dashboard: Any) -> None:
    assert list(mistyped(models.Dashboard.from_json(dashboard), models.Dashboard, "")) == []


def test_grafana_has_every_kind_of_panel_and_query_of_the_dashboards(dashboard: Any) -> None:
    for panel in models.Dashboard.from_json(dashboard).panels:
        assert runtime.panelcfg_config(panel.type_val) is not None, panel.type_val
        assert {type(target).__module__.rpartition(".")[2] for target in panel.targets} == {"prometheus"}


def test_grafana_has_every_unit_of_the_dashboards(dashboard: Any) -> None:
    known = {value for name, value in vars(units).items() if not name.startswith("_")}
    used = {panel["fieldConfig"]["defaults"].get("unit", units.NoUnit) for panel in dashboard["panels"]}
    assert used <= known


def test_a_mistake_in_a_dashboard_is_found(dashboard: Any) -> None:
    panel = next(one for one in dashboard["panels"] if one["type"] == "timeseries")
    panel["fieldConfig"]["defaults"]["unitt"] = "s"
    panel["targets"][0]["instant"] = "yes"
    panel["options"] = {"legend": {"displayMode": "tabular"}}
    read = models.Dashboard.from_json(dashboard)
    unread = lost(dashboard, json.loads(encoder.JSONEncoder().encode(read)), "")
    assert {path.rpartition(".")[2] for path in unread} == {"unitt", UNLISTED}
    found = [path.rpartition(".")[2] for path in mistyped(read, models.Dashboard, "")]
    assert found == ["instant", "display_mode"]


def lost(ours: Any, theirs: Any, path: str) -> Iterator[str]:
    """Where a value of ours is missing or changed; what Grafana adds is its defaults."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            yield from lost(value, theirs.get(key), f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, value in enumerate(ours):
            yield from lost(value, theirs[number], f"{path}[{number}]")
    elif ours != theirs:
        yield path


def mistyped(value: Any, expected: Any, path: str) -> Iterator[str]:
    """Where a value is not of the type that Grafana's classes declare."""
    kind, inner = typing.get_origin(expected), typing.get_args(expected)
    if expected in (object, Any):
        hints = typing.get_type_hints(type(value)) if hasattr(value, "to_json") else {}
        for name in hints:
            yield from mistyped(getattr(value, name), hints[name], f"{path}.{name}")
    elif kind in (typing.Union, types.UnionType):
        if all(list(mistyped(value, one, path)) for one in inner):
            closest = [one for one in inner if inspect.isclass(shape := typing.get_origin(one) or one)
                       and not issubclass(shape, enum.Enum) and isinstance(value, shape)]  # fmt: skip
            yield from mistyped(value, closest[0], path) if closest else [path]
    elif kind is list and isinstance(value, list):
        for number, one in enumerate(value):
            yield from mistyped(one, inner[0], f"{path}[{number}]")
    elif kind is dict and isinstance(value, dict):
        for key, one in value.items():
            yield from mistyped(one, inner[1], f"{path}.{key}")
    elif kind is typing.Literal:
        yield from [] if value in inner else [path]
    elif issubclass(kind or expected, enum.Enum):
        yield from [] if value in [one.value for one in expected] else [path]
    elif not isinstance(value, (int, float) if expected is float else kind or expected):
        yield path
    elif hasattr(value, "to_json"):
        yield from mistyped(value, object, path)
