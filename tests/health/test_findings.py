"""Each finding appears when its condition holds, clears when it ends, says what to do, and does not flap."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.health import words
from appliance.health.catalogue import CATALOGUE
from appliance.health.checks import heat, sight
from appliance.health.facts import (
    AccessNotices,
    CanaryState,
    Cause,
    CertificateNotice,
    Facts,
    HistoryStatus,
    LinkNotice,
    Notices,
    Recent,
    SiteNotices,
    SupportNotices,
    Thresholds,
    UpdateNotices,
)
from appliance.health.finding import Finding, FindingValue, Severity
from appliance.health.findings import Advice, Check, Register, status_of
from appliance.readings import Doubts, Memory, Power, Reading, Storage, System, Thermal
from appliance.values import Limits, PictureFault

GB = 1_000_000_000
DOCS = Path(__file__).parents[2] / "docs/health.md"


def cool_but(temp_c: float | None = 50, available_bytes: int = GB, free_bytes: int = GB) -> Reading:
    return Reading(
        0,
        Thermal(soc_temp_c=temp_c),
        memory=Memory(available_bytes=available_bytes),
        storage=Storage(free_bytes=free_bytes),
    )


COOL = cool_but()
PROVED = CanaryState(proved=True, message="fine", at_s=1.0)
FULL = Limits(640, 0.0, 8)
_DAMAGED = Cause("update_refused", "a file is damaged")
WELL = Facts(
    now_s=1000.0,
    thresholds=Thresholds(critical_temp_c=84, min_available_bytes=100_000_000),
    model_error=None,
    canary=PROVED,
    engine_failures=0,
    reading=COOL,
    limits=FULL,
    cooling=0,
    max_cooling=6,
    recent=Recent(temp_seen=True),
)
LOST = LinkNotice("broker:1883", "link_refused", "", "connection refused")
HOT = replace(FULL, reason="temperature")
CLOSED = replace(FULL, reason="critical_temperature", admit=False)
NO_TEMP = Reading(0, unknown={"thermal.soc_temp_c": "this machine has no temperature sensor"})


def power(**flags: bool) -> Facts:
    return replace(WELL, reading=replace(COOL, power=Power(**flags)))  # type: ignore[arg-type]


def memory(**values: float) -> Facts:
    return replace(WELL, reading=replace(COOL, memory=Memory(available_bytes=GB, **values)))  # type: ignore[arg-type]


def recent(**values: float) -> Facts:
    return replace(WELL, recent=replace(WELL.recent, **values))  # type: ignore[arg-type]


def access(**notices: Any) -> Facts:
    return replace(WELL, notices=Notices(access=AccessNotices(**notices)))


def certificate(problem: str | None = None, expires_in_s: float | None = None) -> Facts:
    return replace(WELL, notices=Notices(certificate=CertificateNotice(problem, expires_in_s)))


APPEARS = {
    "no_model": (replace(WELL, model_error=Cause("model_missing", "it is gone")), "model_missing", "critical"),
    "not_activated": (
        replace(WELL, notices=Notices(activation_error=Cause("model_not_activated", "b was not activated: it fails"))),
        "model_not_activated",
        "degraded",
    ),
    "never_proved": (replace(WELL, canary=CanaryState(at_s=1.0, failures=1)), "canary_failed", "critical"),
    "not_proved_again": (replace(WELL, canary=replace(PROVED, failures=2)), "canary_failed", "degraded"),
    "blind": (replace(WELL, canary=replace(PROVED, failures=3)), "canary_failed", "critical"),
    "engine": (replace(WELL, engine_failures=3), "engine_failing", "critical"),
    "stuck": (recent(engine_still_s=20.0), "engine_stuck", "critical"),
    "critical": (replace(WELL, reading=cool_but(temp_c=84)), "too_hot", "critical"),
    "hot": (replace(WELL, reading=cool_but(temp_c=80), limits=HOT), "hot", "degraded"),
    "throttled": (power(throttled=True), "throttled", "degraded"),
    "capped": (power(frequency_capped=True), "throttled", "degraded"),
    "soft_limit": (power(soft_limit=True), "throttled", "degraded"),
    "was_throttled": (power(throttled=False, throttled_since_boot=True), "throttled_since_boot", "info"),
    "slower": (replace(WELL, reading=replace(COOL, doubts=Doubts(slowed=True))), "throttled_unseen", "degraded"),
    "sensor_stuck": (
        replace(WELL, reading=replace(NO_TEMP, doubts=Doubts(stuck_temp_c=55.0))), "temperature_implausible", "degraded"
    ),
    "throttled_when_cold": (
        replace(WELL, reading=replace(
            COOL, thermal=replace(COOL.thermal, passive_temp_c=80.0), power=Power(throttled=True)
        )),
        "temperature_implausible",
        "degraded",
    ),
    "sensor_fell_silent": (replace(WELL, reading=NO_TEMP), "temperature_unknown", "degraded"),
    "no_sensor": (replace(WELL, reading=NO_TEMP, recent=Recent()), "no_temperature_sensor", "info"),
    "weak_supply": (power(under_voltage=True), "under_voltage", "degraded"),
    "weak_supply_throttles": (power(under_voltage=True, throttled=True), "under_voltage", "degraded"),
    "supply_was_weak": (power(under_voltage_since_boot=True), "under_voltage_since_boot", "info"),
    "memory": (replace(WELL, reading=cool_but(available_bytes=99_999_999)), "memory_low", "degraded"),
    "cgroup": (memory(cgroup_used_bytes=90, cgroup_limit_bytes=100), "memory_limit_near", "degraded"),
    "pressure": (memory(pressure_percent=20.0), "memory_pressure", "degraded"),
    "swap": (memory(swap_used_bytes=75, swap_total_bytes=100), "swapping", "degraded"),
    "disk": (replace(WELL, reading=cool_but(free_bytes=99_999_999)), "disk_low", "degraded"),
    "read_only": (replace(WELL, reading=replace(COOL, storage=Storage(read_only=True))), "disk_read_only", "degraded"),
    "worn": (replace(WELL, reading=replace(COOL, storage=Storage(wear_percent=80.0))), "card_worn", "degraded"),
    "set_aside": (replace(WELL, history=HistoryStatus(set_aside="history.corrupt-1")), "state_set_aside", "degraded"),
    "full": (replace(WELL, history=HistoryStatus(problem="no space left")), "state_not_kept", "degraded"),
    "second": (replace(WELL, history=HistoryStatus(problem="another service", taken=True)), "state_taken", "degraded"),
    "overloaded": (recent(received=100, overloaded=20), "overloaded", "degraded"),
    "too_fast": (recent(received=100, rate_limited=50), "cameras_too_fast", "info"),
    "slow_reader": (recent(results_dropped=10), "results_dropped", "degraded"),
    "silent": (replace(WELL, silent_s={"gate": 120.0}), "camera_silent", "degraded"),
    **{
        f"picture_{fault.value}": (
            replace(WELL, picture_faults={"gate": (fault,)}), f"camera_{fault.value}", "degraded"
        )
        for fault in PictureFault
    },
    "gone": (replace(WELL, silent_s={"gate": 130.0, "yard": 120.0}, all_gone=True), "cameras_gone", "degraded"),
    "closed": (replace(WELL, cooling=6, limits=replace(CLOSED, reason="memory")), "last_cooling_state", "critical"),
    "at_its_least": (replace(WELL, cooling=6), "last_cooling_state", "degraded"),
    "held": (replace(WELL, held_for_s=600.0), "governor_held", "info"),
    "safe_mode": (replace(WELL, notices=Notices(safe_mode="line 3: unknown key")), "safe_mode", "critical"),
    "was_hot": (replace(WELL, reading=cool_but(60), limits=HOT, target_temp_c=77.0), "hot", "degraded"),
    "the inference server is away": (
        replace(WELL, notices=Notices(server_away="The inference server 10.0.0.9:9000 cannot be reached")),
        "engine_server_away",
        "degraded",
    ),
    "builds": (
        replace(WELL, notices=Notices(engine_stand_in="TensorRT cannot run gate yet")), "engine_stand_in", "degraded"
    ),
    "not_built": (
        replace(WELL, notices=Notices(engine_stand_in="TensorRT cannot run gate yet", engine_problem="no memory")),
        "engine_stand_in",
        "degraded",
    ),
    "built_and_not_used": (
        replace(
            WELL,
            notices=Notices(engine_stand_in="TensorRT cannot run", engine_problem="no room", engine_built=True),
        ),
        "engine_stand_in",
        "degraded",
    ),
    "bad_reload": (
        replace(WELL, notices=Notices(config_not_reloaded="line 3: unknown key")), "config_not_reloaded", "degraded"
    ),
    "open_to_all": (access(open_to_all=True), "auth_off", "degraded"),
    "no_operator": (access(tokens_problem="no operator has a token"), "tokens_unusable", "critical"),
    "guesses": (access(guesses=25, guessed_from="192.168.1.66"), "token_guessing", "degraded"),
    "short": (access(short=("server.api_key",)), "token_short", "info"),
    "contested": (access(contested=("gate",)), "name_taken", "degraded"),
    "waiting": (access(waiting=("gate (123 456)",)), "pairing_waiting", "info"),
    "part_failed": (replace(WELL, notices=Notices(part_failed="watch: OSError: disk")), "part_failed", "degraded"),
    "certificate_missing": (certificate(problem="cannot read a.pem"), "certificate_invalid", "degraded"),
    "certificate_old": (certificate(expires_in_s=86_400.0), "certificate_expires", "info"),
    "certificate_expired": (certificate(expires_in_s=-1.0), "certificate_expires", "degraded"),
    "unknown_classes": (replace(WELL, notices=Notices(unknown_classes=("persn",))), "unknown_classes", "degraded"),
    "mqtt_disconnected": (
        replace(WELL, notices=Notices(mqtt_problem=LOST)), "mqtt_disconnected", "degraded"
    ),
    "webhook_failing": (
        replace(WELL, notices=Notices(webhook_problems=(LOST,))), "webhook_failing", "degraded"
    ),
    "undone": (
        replace(WELL, notices=Notices(update=UpdateNotices(undone="0.3-1234abcd", why="it sees nothing"))),
        "update_undone",
        "degraded",
    ),
    "went_back": (
        replace(
            WELL,
            notices=Notices(
                update=UpdateNotices(undone="0.3-1234abcd", why="a person wanted it", undone_by_a_person=True)
            ),
        ),
        "update_undone",
        "info",
    ),
    "no_root": (replace(WELL, notices=Notices(update=UpdateNotices(no_root=True))), "update_no_root", "degraded"),
    "refused": (
        replace(WELL, notices=Notices(update=UpdateNotices(refused=_DAMAGED))), "update_refused", "degraded"
    ),
    "available": (
        replace(WELL, notices=Notices(update=UpdateNotices(available="0.3"))), "update_available", "info"
    ),
    "stale": (replace(WELL, notices=Notices(update=UpdateNotices(newest_age_days=61.5))), "update_stale", "info"),
    "never reached": (
        replace(WELL, notices=Notices(update=UpdateNotices(never_reached="no route"))), "update_stale", "info"
    ),
    "site_bus_away": (
        replace(WELL, notices=Notices(site=SiteNotices(bus_problem="no servers"))), "site_bus_away", "degraded"
    ),
    "drained": (replace(WELL, notices=Notices(site=SiteNotices(True, 3))), "drained", "info"),
    "support_unstated": (
        replace(WELL, notices=Notices(support=SupportNotices(("server.supported_until",)))), "support_unstated", "info"
    ),
    "support_ended": (
        replace(WELL, notices=Notices(support=SupportNotices((), "2031-12"))), "support_ended", "degraded"
    ),
    "no_time_server": (
        replace(WELL, reading=replace(COOL, system=System(clock_synchronised=False))), "clock_not_synchronised", "info"
    ),
}  # fmt: skip

PATIENCE = {check.code: check.after_s for check in CATALOGUE}
LINGER = {check.code: check.linger_s for check in CATALOGUE}


def later(facts: Facts, seconds: float) -> Facts:
    return replace(facts, now_s=facts.now_s + seconds)


def codes(found: tuple[Finding, ...]) -> list[str]:
    return [finding.code for finding in found]


@pytest.mark.parametrize("name", APPEARS)
def test_a_finding_appears_with_advice_and_clears_again(name: str) -> None:
    facts, code, severity = APPEARS[name]
    register = Register(CATALOGUE)
    register.evaluate(facts)
    facts = later(facts, PATIENCE[code])
    (finding,) = register.evaluate(facts)
    assert (finding.code, finding.severity.value) == (code, severity)
    assert status_of([finding]) == ("ok" if severity == "info" else severity)
    assert finding.since_s == WELL.now_s
    assert finding.what[0].isupper() or finding.what[0].isdigit()
    assert finding.do.endswith(".")
    register.evaluate(later(WELL, PATIENCE[code] + 1))
    assert register.evaluate(later(WELL, PATIENCE[code] + 1 + LINGER[code])) == ()


def test_a_slow_chip_is_reported_without_a_temperature_too() -> None:
    slow = replace(WELL, reading=replace(NO_TEMP, doubts=Doubts(slowed=True)), recent=Recent())
    assert "throttled_unseen" in codes(Register(CATALOGUE).evaluate(slow))


def test_heat_is_not_blamed_for_a_slow_chip_that_is_cool() -> None:
    def advice(passive_c: float | None) -> str:
        thermal = replace(COOL.thermal, passive_temp_c=passive_c)
        facts = replace(WELL, reading=replace(COOL, thermal=thermal, doubts=Doubts(slowed=True)))
        return next(one.what for one in Register(CATALOGUE).evaluate(facts) if one.code == "throttled_unseen")

    assert COOL.thermal.soc_temp_c is not None
    assert "heat is not the cause" in advice(COOL.thermal.soc_temp_c + 11.0)
    assert "heat is not the cause" not in advice(COOL.thermal.soc_temp_c + 9.0)
    assert "heat is not the cause" not in advice(None)


def test_every_finding_in_the_catalogue_is_tested() -> None:
    assert {code for _, code, _ in APPEARS.values()} == {check.code for check in CATALOGUE}
    assert len(PATIENCE) == len(CATALOGUE)


def test_the_documented_findings_match_the_catalogue() -> None:
    chapter = DOCS.read_text(encoding="utf-8").split("\n## Findings\n")[1].split("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \| ([\w, ]+) \|", chapter, re.MULTILINE)
    assert [code for code, _ in documented] == [check.code for check in CATALOGUE]
    severities: dict[str, set[str]] = {}
    for _, code, severity in APPEARS.values():
        severities.setdefault(code, set()).add(severity)
    assert {code: set(words.split(", ")) for code, words in documented} == severities


STAYS_AWAY = {
    "well": WELL,
    "not_yet_tried": replace(WELL, canary=CanaryState()),
    "two_failures": replace(WELL, engine_failures=2),
    "slow_but_alive": recent(engine_still_s=19.9),
    "just_below_critical": replace(WELL, reading=cool_but(temp_c=83.9)),
    "short_of_memory_is_no_heat": replace(WELL, limits=replace(FULL, reason="memory")),
    "just_enough": replace(WELL, reading=cool_but(available_bytes=100_000_000, free_bytes=100_000_000)),
    "no_limit": memory(cgroup_used_bytes=10**12),
    "no_swap": memory(swap_used_bytes=0, swap_total_bytes=0),
    "a_day_later": replace(WELL, history=HistoryStatus(set_aside="history.corrupt-1", set_aside_for_s=86_400.0)),
    "a_few_frames": recent(received=9, overloaded=9, rate_limited=9),
    "some_answers_unread": recent(results_dropped=9),
    "nothing_else_is_known": replace(WELL, reading=Reading(0, Thermal(soc_temp_c=50))),
}


@pytest.mark.parametrize("name", STAYS_AWAY)
def test_a_healthy_device_has_no_findings(name: str) -> None:
    register = Register(CATALOGUE)
    register.evaluate(STAYS_AWAY[name])
    assert register.evaluate(later(STAYS_AWAY[name], 1000)) == ()


HYSTERESIS = {
    "too_hot": (replace(WELL, reading=cool_but(temp_c=84)), replace(WELL, reading=cool_but(temp_c=83))),
    "memory_low": (
        replace(WELL, reading=cool_but(available_bytes=99_000_000)),
        replace(WELL, reading=cool_but(available_bytes=110_000_000)),
    ),
    "memory_limit_near": (
        memory(cgroup_used_bytes=90, cgroup_limit_bytes=100), memory(cgroup_used_bytes=86, cgroup_limit_bytes=100)
    ),
    "memory_pressure": (memory(pressure_percent=25.0), memory(pressure_percent=15.0)),
    "swapping": (
        memory(swap_used_bytes=80, swap_total_bytes=100), memory(swap_used_bytes=65, swap_total_bytes=100)
    ),
    "disk_low": (
        replace(WELL, reading=cool_but(free_bytes=99_000_000)), replace(WELL, reading=cool_but(free_bytes=110_000_000))
    ),
    "overloaded": (recent(received=100, overloaded=25), recent(received=100, overloaded=15)),
    "cameras_too_fast": (recent(received=100, rate_limited=55), recent(received=100, rate_limited=45)),
    "results_dropped": (recent(results_dropped=10), recent(results_dropped=2)),
}  # fmt: skip


@pytest.mark.parametrize("code", HYSTERESIS)
def test_a_value_near_its_threshold_does_not_flap(code: str) -> None:
    over, between = HYSTERESIS[code]
    register, fresh = Register(CATALOGUE), Register(CATALOGUE)
    for second in range(200):
        shown = codes(
            register.evaluate(later(between if second > 100 or (second > 70 and second % 2) else over, second))
        )
        assert shown == ([code] if second >= PATIENCE[code] else [])
        assert fresh.evaluate(later(between, second)) == ()


@pytest.mark.parametrize("name", ["throttled", "weak_supply"])
def test_a_flag_that_toggles_every_few_seconds_is_one_finding(name: str) -> None:
    facts, code, _ = APPEARS[name]
    register = Register(CATALOGUE)
    since = set()
    for second in range(60):
        (finding,) = register.evaluate(later(facts if second % 5 == 0 else WELL, second))
        assert finding.code == code
        since.add(finding.since_s)
    assert since == {WELL.now_s}


def test_a_condition_that_does_not_last_is_not_reported() -> None:
    facts, _, _ = APPEARS["overloaded"]
    register = Register(CATALOGUE)
    for second in range(300):
        assert register.evaluate(later(facts if second % 60 < 50 else WELL, second)) == ()


def test_a_missing_model_hides_the_failed_self_test() -> None:
    facts = replace(WELL, model_error=Cause("model_missing", "it is gone"), canary=CanaryState(at_s=1.0, failures=9))
    assert codes(Register(CATALOGUE).evaluate(facts)) == ["model_missing"]


def test_an_overheated_device_says_once_that_detection_is_paused() -> None:
    facts = replace(WELL, reading=cool_but(temp_c=86), limits=CLOSED, cooling=6)
    assert [found.code for found in Register(CATALOGUE).evaluate(facts)] == ["too_hot"]


def test_the_worst_finding_comes_first() -> None:
    facts = replace(WELL, engine_failures=5, reading=cool_but(available_bytes=1, free_bytes=1, temp_c=90))
    severities = [finding.severity for finding in Register(CATALOGUE).evaluate(replace(facts, held_for_s=3.0))]
    assert [severity.value for severity in severities] == ["critical", "critical", "degraded", "degraded", "info"]


def test_that_all_cameras_have_gone_stands_above_other_degraded_findings() -> None:
    facts = replace(WELL, silent_s={"gate": 130.0, "yard": 3700.0}, all_gone=True, reading=cool_but(available_bytes=1))
    findings = Register(CATALOGUE).evaluate(facts)
    assert codes(findings) == ["cameras_gone", "memory_low"]
    assert findings[0].what == "No camera is sending. The last frame came 2 min ago. Missing: gate, yard."


@pytest.mark.parametrize("name", APPEARS)
def test_the_catalogue_lists_every_severity_of_a_finding(name: str) -> None:
    _, code, severity = APPEARS[name]
    (check,) = [check for check in CATALOGUE if check.code == code]
    assert severity in [one.value for one in check.severities]


def test_long_lists_of_cameras_are_shortened() -> None:
    facts = replace(WELL, silent_s={f"camera-{number}": 7300.0 for number in range(40)})
    (finding,) = Register(CATALOGUE).evaluate(facts)
    assert finding.what.startswith("No frame for 2 h 1 min from camera-0, ")
    assert finding.what.endswith("and 35 more.")


@given(st.lists(st.sampled_from(Severity), max_size=5))
def test_the_status_is_the_worst_finding(severities: list[Severity]) -> None:
    status = status_of(Finding("x", severity, "", "", 0.0) for severity in severities)
    if Severity.CRITICAL in severities:
        assert status == "critical"
    elif Severity.DEGRADED in severities:
        assert status == "degraded"
    else:
        assert status == "ok"


@given(
    seconds=st.lists(st.tuples(st.floats(0.1, 30), st.booleans()), max_size=60),
    after_s=st.sampled_from([0.0, 5.0, 60.0]),
    linger_s=st.sampled_from([0.0, 10.0]),
)
def test_a_finding_lasts_from_after_s_of_firing_until_linger_s_of_quiet(
    seconds: list[tuple[float, bool]], after_s: float, linger_s: float
) -> None:
    """Compares the register with a check of the complete past."""
    now, past = 0.0, list[tuple[float, bool]]()
    state = {"fires": False}

    def check(facts: Facts) -> Advice | None:
        return Advice(Severity.INFO, "", "") if state["fires"] else None

    register = Register([Check(check, after_s, linger_s)])
    for passed_s, fires in seconds:
        now += passed_s
        state["fires"] = fires
        past.append((now, fires))
        stands = bool(register.evaluate(replace(WELL, now_s=now)))
        fired_at = [at_s for at_s, fired in past if fired]
        if stands:
            assert now - fired_at[-1] <= linger_s
            assert fired_at[-1] - fired_at[0] >= after_s
        elif fires:
            assert after_s > 0
            quiet_since = max((at_s for at_s, fired in past if not fired), default=0.0)
            assert now - min(at_s for at_s in fired_at if at_s > quiet_since) < after_s


def test_a_chip_that_has_cooled_is_not_reported_as_hot() -> None:
    facts = replace(WELL, limits=HOT, target_temp_c=77.0)
    results = [heat.hot(replace(facts, reading=cool_but(temp_c))) for temp_c in (76.0, 60.0)]
    assert [advice.what for advice in results if advice] == [
        "The chip is hot (76 °C). Detection is throttled: fewer frames, lower resolution.",
        "The chip has cooled to 60 °C. Detection is still throttled and is recovering.",
    ]


def test_an_engine_that_is_built_but_not_in_use_needs_only_a_restart() -> None:
    failed = Notices(engine_stand_in="TensorRT cannot run gate yet", engine_problem="the build failed: no such layer")
    advice = sight.engine_stand_in(replace(WELL, notices=failed))
    assert advice is not None
    assert advice.what.endswith("A slower engine is running: the build failed: no such layer.")
    assert advice.do.startswith("Fix this")
    advice = sight.engine_stand_in(
        replace(WELL, notices=replace(failed, engine_problem="too little memory", engine_built=True))
    )
    assert advice is not None
    assert "has been built since then but is not in use: too little memory." in advice.what
    assert advice.do.startswith("Restart the service to use the new engine.")


def test_a_finding_carries_what_another_language_needs() -> None:
    facts = replace(WELL, reading=cool_but(temp_c=91.4, free_bytes=5_000_000), limits=CLOSED)
    hot, disk = Register(CATALOGUE).evaluate(facts)
    assert (hot.code, hot.case, hot.values) == ("too_hot", "paused", {"temp_c": 91.4, "critical_c": 84})
    assert (disk.code, disk.case, disk.values) == ("disk_low", "", {"free_bytes": 5_000_000})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{temp_c} and {used_percent}", "61 °C and 20 %"),
        ("{free_bytes} for {left_s}", "512 MB for 2 h 5 min"),
        ("{count} from {names}", "7 from a, b"),
        ("{unknown} stays", "{unknown} stays"),
        ("{words}", "{temp_c} from a camera's name"),
    ],
)
def test_values_are_formatted_by_the_unit_in_their_name(template: str, text: str) -> None:
    values: dict[str, FindingValue] = {
        "temp_c": 61.3, "used_percent": 20.4, "free_bytes": 512_900_000, "left_s": 7500.0, "count": 7,
        "names": ("a", "b"), "words": "{temp_c} from a camera's name",
    }  # fmt: skip
    assert words.fill(template, values) == text
