"""Every finding, in order of subject. docs/health.md documents the same list for users, and
web/page/pt-BR.json has the texts in Portuguese."""

from __future__ import annotations

from appliance.health.checks import access, cameras, control, heat, links, memory, power, sight, storage, traffic
from appliance.health.findings import Check
from appliance.values import Severity

CATALOGUE = (
    Check(cameras.cameras_gone),  # above other degraded findings
    Check(sight.model_missing, severities=(Severity.CRITICAL,)),
    Check(sight.model_not_activated),
    Check(sight.engine_stand_in),
    Check(sight.canary_failed, severities=(Severity.DEGRADED, Severity.CRITICAL)),
    Check(sight.engine_failing, severities=(Severity.CRITICAL,)),
    Check(sight.engine_stuck, severities=(Severity.CRITICAL,)),
    Check(heat.too_hot, severities=(Severity.CRITICAL,)),
    Check(heat.hot),
    Check(heat.throttled, linger_s=10),
    Check(heat.throttled_since_boot, after_s=10, severities=(Severity.INFO,)),
    Check(heat.throttled_unseen, linger_s=60),
    Check(heat.temperature_implausible, after_s=5, linger_s=30),
    Check(heat.temperature_unknown, after_s=5),
    Check(heat.no_temperature_sensor, after_s=10, severities=(Severity.INFO,)),
    Check(power.under_voltage, linger_s=10),
    Check(power.under_voltage_since_boot, after_s=10, severities=(Severity.INFO,)),
    Check(memory.memory_low),
    Check(memory.memory_limit_near),
    Check(memory.memory_pressure, after_s=20),
    Check(memory.swapping, after_s=20),
    Check(storage.disk_low),
    Check(storage.disk_read_only),
    Check(storage.card_worn),
    Check(storage.state_set_aside),
    Check(storage.state_not_kept),
    Check(storage.state_taken),
    Check(traffic.overloaded, after_s=60),
    Check(traffic.cameras_too_fast, after_s=60, severities=(Severity.INFO,)),
    Check(traffic.results_dropped),
    Check(cameras.camera_silent),
    Check(access.auth_off),
    Check(access.tokens_unusable, severities=(Severity.CRITICAL,)),
    Check(access.token_guessing),
    Check(access.name_taken),
    Check(access.pairing_waiting, severities=(Severity.INFO,)),
    Check(control.last_cooling_state, severities=(Severity.DEGRADED, Severity.CRITICAL)),
    Check(control.governor_held, severities=(Severity.INFO,)),
    Check(control.safe_mode, severities=(Severity.CRITICAL,)),
    Check(control.config_not_reloaded),
    Check(control.unknown_classes),
    Check(control.part_failed),
    Check(control.certificate_invalid),
    Check(control.certificate_expires, severities=(Severity.INFO, Severity.DEGRADED)),
    Check(links.mqtt_disconnected, after_s=30),
    Check(links.webhook_failing, after_s=30),
    Check(control.clock_not_synchronised, after_s=300, severities=(Severity.INFO,)),
)
