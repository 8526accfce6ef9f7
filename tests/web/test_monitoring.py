"""The alert rules and the dashboard use only metrics, labels and values that the service really has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from appliance.health.catalogue import CATALOGUE
from appliance.health.recorder import STATUSES
from appliance.health.roster import KnownCamera
from appliance.values import CameraLimits, CameraStats, PictureFault
from appliance.web.metrics import MOST_CAMERAS, collect
from tests.web.health_rig import HealthRig

FOLDER = Path(__file__).parents[2] / "provisioning" / "monitoring"
RULES = yaml.safe_load((FOLDER / "appliance.rules.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
FLEET = FOLDER.parent / "fleet"
FLEET_RULES = yaml.safe_load((FLEET / "site.rules.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
FLEET_DASHBOARD = json.loads((FLEET / "dashboard.json").read_text(encoding="utf-8"))
RECORDED = {rule["record"] for rule in FLEET_RULES if "record" in rule}
OF_PROMETHEUS = {"up"}
STATS = CameraStats(1, 1, 0, 0, {"rate_limited": 1}, 1.0, 1.0, 5.0, CameraLimits(1.0, 640, 80, "normal"))


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in (*RULES, *FLEET_RULES))
    for board in (DASHBOARD, FLEET_DASHBOARD):
        yield from (target["expr"] for panel in board["panels"] for target in panel["targets"])


def with_cameras(count: int, known: int = 1, first: str = "camera") -> Any:
    snapshot = HealthRig().vitals.snapshot()
    return replace(
        snapshot,
        cameras={f"{first} {number}": STATS for number in range(count)},
        known_cameras={
            f"known {number}": KnownCamera("silent", 1.0 + number, 2.0, 3.0, 4.0, number == known - 1, "")
            for number in range(known)
        },
    )


def series(snapshot: Any) -> list[tuple[str, dict[str, str]]]:
    return [(sample.name, dict(sample.labels)) for family in collect(snapshot) for sample in family.samples]


def test_rules_and_dashboard_name_only_metrics_that_exist() -> None:
    exported = {name for name, _ in series(with_cameras(1))} | {"appliance_capacity_frames_per_second"}
    for expression in expressions():
        plain = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(?:by|without) \([^)]*\)", "", expression)
        named = set(re.findall(r"\bsite:[\w:]+|\b(?:appliance|process)_\w+|\bup\b", plain))
        assert named, expression
        assert named <= exported | OF_PROMETHEUS | RECORDED, expression


def test_rules_and_dashboard_compare_labels_with_values_that_exist() -> None:
    values: dict[str, set[str]] = {}
    for _, labels in series(with_cameras(1)):
        for label, value in labels.items():
            values.setdefault(label, set()).add(value)
    assert set(STATUSES) <= values["status"]
    for expression in expressions():
        for label, how, value in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', expression):
            if label in ("job", "instance", "site"):
                continue
            assert any(re.fullmatch(value, one) for one in values[label]), (expression, label, how, value)


def test_each_finding_raises_an_alert_unless_it_only_informs() -> None:
    def selects(rule: dict[str, Any], code: str, severity: str) -> bool:
        match = re.search(r'appliance_finding\{severity="(\w+)"(?:, code!~"([^"]*)")?\}', rule["expr"])
        return bool(match and match[1] == severity and not (match[2] and re.fullmatch(match[2], code)))

    alone = {f"camera_{fault.value}" for fault in PictureFault} | {"camera_silent", "cameras_gone"}
    for check in CATALOGUE:
        for severity in check.severities:
            alerted = any(selects(rule, check.code, severity.value) for rule in RULES)
            assert alerted or severity.value == "info" or check.code in alone, check.code


def test_each_alert_has_a_severity_and_says_what_to_do() -> None:
    documented = (FOLDER.parents[1] / "docs" / "monitoring.md").read_text(encoding="utf-8")
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]
        assert f"`{rule['alert']}` | {rule['labels']['severity']} |" in documented


def test_each_panel_of_the_dashboard_is_by_device() -> None:
    assert all('instance=~"$instance"' in target["expr"] for one in DASHBOARD["panels"] for target in one["targets"])
    assert {one["name"] for one in DASHBOARD["templating"]["list"]} == {"datasource", "instance"}


@pytest.mark.parametrize("known", [1, 1000])
def test_made_up_names_do_not_make_more_series(known: int) -> None:
    most = len(series(with_cameras(MOST_CAMERAS)))
    found = series(with_cameras(5000, known))
    assert len(found) <= most + 2 * MOST_CAMERAS
    listed = {labels["camera"] for _, labels in found if "camera" in labels}
    assert len(listed) == MOST_CAMERAS
    assert f"known {known - 1}" in listed  # it is in the settings
    assert "known 0" in listed
    unlisted = [family for family in collect(with_cameras(5000, known)) if family.name == "appliance_cameras_unlisted"]
    assert unlisted[0].samples[0].value == 5000 + known - MOST_CAMERAS
