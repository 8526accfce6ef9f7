"""States of the device that the page has to show, each with a text that says it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from appliance.health.catalogue import CATALOGUE
from appliance.health.facts import CanaryState, Cause, Facts, Notices, Recent, Thresholds
from appliance.health.findings import Register
from appliance.readings import Memory, Reading, Storage, Thermal
from appliance.values import Limits
from appliance.web.report import of_findings
from tests.web.page_rig import Json, camera, cameras, healthy

_FULL = Limits(640, 0.0, 8)
_HEAT = replace(_FULL, reason="temperature")
_WELL = Facts(
    now_s=1000.0,
    thresholds=Thresholds(critical_temp_c=84, min_available_bytes=100_000_000),
    model_error=None,
    canary=CanaryState(proved=True, message="test image recognised", at_s=1.0),
    engine_failures=0,
    reading=Reading(
        0, Thermal(soc_temp_c=61.5), memory=Memory(available_bytes=10**9), storage=Storage(free_bytes=10**10)
    ),
    limits=_FULL,
    cooling=0,
    max_cooling=6,
    recent=Recent(temp_seen=True),
)
ODD_NAMES = (
    "Portão principal", "<b>bold</b> & 'quoted'", "守衛室 🎥", "x" * 64, "#camera=1?&%20",
    "a name that has spaces and is rather long, by the gate",
)  # fmt: skip


@dataclass(frozen=True)
class State:
    """A state: the report, and what the page must show (English, then Portuguese)."""

    health: Json
    english: str
    portuguese: str


def health(known: dict[str, Json], **facts: Any) -> Json:
    """A report with these cameras and the findings that follow from the facts."""
    now = replace(_WELL, **facts)
    register = Register([replace(check, after_s=0.0) for check in CATALOGUE])
    report = healthy(known, of_findings(register.evaluate(now), now.now_s, 1_800_000_000.0))
    for name, silent_s in now.silent_s.items():
        report["cameras"].pop(name, None)
        report["known_cameras"][name] = {
            "presence": "silent", "first_frame": "2026-11-01T12:00:00+00:00", "configured": False,
            "last_frame": "2026-11-28T12:00:00+00:00", "silent_s": silent_s, "silent_after_s": 30.0,
        }  # fmt: skip
    return report


def _at(temp_c: float) -> Reading:
    return replace(_WELL.reading, thermal=Thermal(soc_temp_c=temp_c))


def _twenty() -> dict[str, Json]:
    known = cameras(20)
    known["camera 3"]["limits"].update(min_interval=1.5, max_side=416, reason="temperature")
    return known


_CLOSED = replace(_FULL, admit=False, reason="critical_temperature")
_GONE = {f"camera {number}": 7300.0 + number for number in range(1, 21)}
_SOME = {"camera 7": 7300.0, "camera 12": 130.0}

STATES = {
    "demo": State(health({"demo": camera()}), "1 camera active", "1 câmera ativa"),
    "none": State(health({}), "No camera has sent a frame yet", "Nenhuma câmera enviou imagens ainda"),
    "gone": State(
        health(_twenty(), silent_s=_GONE, all_gone=True), "No camera is sending", "Nenhuma câmera está enviando"
    ),
    "silent": State(
        health(_twenty(), silent_s=_SOME, held_for_s=600.0), "No frame for 2 h", "Nenhuma imagem há 2"
    ),
    "no_model": State(
        health({}, model_error=Cause("model_missing", "The folder models is empty.")),
        "no working model",
        "não há modelo",
    ),
    "safe_mode": State(
        health({}, notices=Notices(safe_mode="line 3: unknown key 'prot'")),
        "invalid settings",
        "configuração inválida",
    ),
    "hot": State(health(_twenty(), reading=_at(79), limits=_HEAT), "The chip is hot", "O chip está quente"),
    "too_hot": State(
        health(_twenty(), reading=_at(86), limits=_CLOSED, cooling=6), "Overheated", "Superaquecido: o chip"
    ),
    "overloaded": State(
        health(_twenty(), recent=Recent(temp_seen=True, received=100, overloaded=44)),
        "Overloaded: 44 %",
        "Sobrecarga: 44\u202f%",
    ),
    "64_cameras": State(health(cameras(64)), "64 cameras active", "64 câmeras ativas"),
    "odd_names": State(
        health({name: camera() for name in ODD_NAMES}), "6 cameras active", "6 câmeras ativas"
    ),
}  # fmt: skip
