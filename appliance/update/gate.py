"""Judge a release on trial: keep it, wait, or go back.

Rules of this file:
- `judge` is pure. It compares with what the older release did on this device in its last hour, not with fixed numbers.
- The cameras' own frames say how fast a release is. The test picture does where no camera sends, and where its answer
  is much later: the frames' own time ends before their answers are sent.
- The evidence that counts is a frame over the websocket. A service that answers HTTP may still see nothing.
- One bad observation is none: cameras, networks and disks hiccup. Three in a row are.
- Heat alone never goes back: the sun may have risen.
- What the older release could not do either is no reason. If it was never ready, the newer one need not be either, and
  its critical findings prove nothing; a crash still does.
- Other work makes some answers late, of either release: the lower quartile of the answers counts, not their median.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

READY_WITHIN_S = 600.0
"""A new OpenVINO compiles its networks again, which takes minutes on a Raspberry Pi 4."""
IN_A_ROW = 3
SETTLED_AFTER_S = 20.0
"""The history's rows of ten seconds before this belong to the start, or to the older release."""
LEAST_ROWS = 2
SLOWER_BY = 2.0
SLOWER_BY_LEAST_MS = 50.0
SLOWER_BEHIND_CAMERAS_MS = 250.0
"""Instead of 50 for the test picture, which waits behind the cameras' frames."""
HOTTER_BY_C = 10.0
HOT_AND_SLOWER_BY = 1.5
HEAT = frozenset({"too_hot", "hot"})


@dataclass(frozen=True, slots=True)
class Observation:
    """The device at one moment, from outside. Absent is None; `seen`: the classes found in the test picture."""

    ready: bool = False
    seen: frozenset[str] | None = None
    """None: no answer, or not allowed to ask."""
    refused: bool = False
    """This program may not send frames, so frames are no evidence."""
    answer_ms: float | None = None
    """What the answer to the test picture took."""
    frames_ms: float | None = None
    """The median latency of the cameras' frames in the last ten seconds; None: there were none."""
    temp_c: float | None = None
    critical: frozenset[str] = frozenset()
    restarts: int = 0
    cameras: int = 0
    gateway: bool | None = None
    """Whether the network's gateway answers; None: there is none."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the older release did: in its last hour, or at its end."""

    ready: bool = True
    """It was ready at some time before the update; also if that is unknown."""
    seen: frozenset[str] | None = None
    answer_ms: float | None = None
    """The lower quartile of the answers to the test picture, before and after the update was unpacked."""
    hour_ms: float | None = None
    """The median latency of the cameras' frames in the last hour; None: too few of them."""
    temp_c: float | None = None
    critical: frozenset[str] = frozenset()
    cameras: int = 0
    gateway: bool | None = None


class Verdict(Enum):
    WAIT = "wait"
    KEEP = "keep"
    UNDO = "undo"


@dataclass(frozen=True, slots=True)
class TrialState:
    """What has been observed so far. `bad`: consecutive observations for each reason."""

    ready_since_s: float | None = None
    bad: tuple[tuple[str, int], ...] = ()
    answers_ms: tuple[float, ...] = ()
    frames_ms: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    verdict: Verdict
    why: str = ""


_WAIT = Judgement(Verdict.WAIT)


def judge(
    state: TrialState, baseline: Baseline, now: Observation, trial_s: float, commit_after_s: float
) -> tuple[TrialState, Judgement]:
    """`trial_s`: since the trial, or the device, was started. Without an older release that was ready, the time of
    the trial begins at the latest when a good one would have been ready.
    """
    if now.restarts:
        return state, Judgement(Verdict.UNDO, "it crashed: systemd had to start it again")
    if not now.ready and state.ready_since_s is None:
        if trial_s < READY_WITHIN_S:
            return state, _WAIT
        if baseline.ready:
            return state, Judgement(Verdict.UNDO, f"it was not ready {READY_WITHIN_S:.0f} s after its start")
    reasons = _reasons(baseline, now)
    before = dict(state.bad)
    bad = tuple((reason, before.get(reason, 0) + 1) for reason in reasons)
    ready_since_s = trial_s if state.ready_since_s is None else state.ready_since_s
    watched_s = trial_s - ready_since_s
    state = replace(
        state,
        ready_since_s=ready_since_s,
        bad=bad,
        answers_ms=_added(state.answers_ms, now.answer_ms),
        frames_ms=_added(state.frames_ms, now.frames_ms if watched_s >= SETTLED_AFTER_S else None),
    )
    for reason, count in bad:
        if count >= IN_A_ROW:
            return state, Judgement(Verdict.UNDO, reason)
    if watched_s < commit_after_s or bad:
        return state, _WAIT
    if slow := _slower(state, baseline, now):
        return state, Judgement(Verdict.UNDO, slow)
    if baseline.cameras and not now.cameras:
        if watched_s < 2 * commit_after_s:
            return state, _WAIT
        return state, Judgement(Verdict.UNDO, f"no camera came back; before, {baseline.cameras} sent frames")
    return state, Judgement(Verdict.KEEP)


def _reasons(baseline: Baseline, now: Observation) -> list[str]:
    """What is wrong at this moment, as the end of a sentence."""
    reasons = []
    if not now.ready and baseline.ready:
        reasons.append("its self-test fails")
    if not now.refused and baseline.seen is not None:
        if now.seen is None:
            reasons.append("it does not answer frames over the websocket")
        elif baseline.seen and not baseline.seen & now.seen:
            reasons.append(f"it does not detect {', '.join(sorted(baseline.seen))} in the test picture")
    new = now.critical - baseline.critical - HEAT
    if new and baseline.ready:
        reasons.append(f"it reports {', '.join(sorted(new))}, and the older release did not")
    if baseline.gateway and now.gateway is False:
        reasons.append("the network's gateway can no longer be reached")
    return reasons


def _added(values: tuple[float, ...], value: float | None) -> tuple[float, ...]:
    return (*values, value)[-60:] if value is not None else values


def undisturbed_ms(answers_ms: Sequence[float]) -> float:
    """What an answer takes while nothing else keeps the device busy: the lower quartile. At least one answer."""
    return sorted(answers_ms)[(len(answers_ms) - 1) // 4]


def _slower(state: TrialState, baseline: Baseline, now: Observation) -> str:
    """Why the release is too slow; empty: it is not."""
    compared, answer_least_ms = [], SLOWER_BY_LEAST_MS
    # Without cameras the history has only the rows of earlier trials' test pictures, without the way back to a client.
    if baseline.cameras and baseline.hour_ms is not None and len(state.frames_ms) >= LEAST_ROWS:
        compared.append(("a camera's frame", baseline.hour_ms, statistics.median(state.frames_ms), SLOWER_BY_LEAST_MS))
        answer_least_ms = SLOWER_BEHIND_CAMERAS_MS
    if baseline.answer_ms is not None and state.answers_ms:
        compared.append(("a frame", baseline.answer_ms, undisturbed_ms(state.answers_ms), answer_least_ms))
    hotter = None not in (now.temp_c, baseline.temp_c) and (now.temp_c or 0) > (baseline.temp_c or 0) + HOTTER_BY_C
    for what, before_ms, now_ms, least_ms in compared:
        text = f"it is slower: {what} takes {now_ms:.0f} ms instead of {before_ms:.0f} ms"
        if now_ms > SLOWER_BY * before_ms + least_ms:
            return text
        if hotter and now_ms > HOT_AND_SLOWER_BY * before_ms + least_ms:
            return f"{text}, and hotter: {now.temp_c:.0f} °C instead of {baseline.temp_c:.0f} °C"
    return ""
