"""The audit log names the caller and the action, and keeps the most recent entries."""

from __future__ import annotations

import logging

import pytest

from appliance.identity.audit import Audit
from appliance.identity.roles import Role, of_role


def test_an_action_is_logged_with_its_caller_and_fields(caplog: pytest.LogCaptureFixture) -> None:
    audit = Audit(wall_clock=lambda: 5.0)
    with caplog.at_level(logging.WARNING):
        audit.record(of_role("anna", Role.OPERATOR, "192.168.1.7"), "model_activate", model="yolo11n")
    assert caplog.messages == [
        "audit: action=model_activate who=anna (operator) address=192.168.1.7 ok=True model=yolo11n"
    ]
    record = caplog.records[0]
    assert (record.__dict__["action"], record.__dict__["who"]) == ("model_activate", "anna (operator)")


def test_only_the_most_recent_actions_are_kept_newest_first() -> None:
    audit = Audit(kept=2)
    for number in range(3):
        audit.record(of_role("anna", Role.OPERATOR), f"act_{number}")
    assert [entry.action for entry in audit.latest()] == ["act_2", "act_1"]
