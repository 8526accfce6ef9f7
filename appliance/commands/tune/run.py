"""The steps of `appliance tune`. What they do is passed in, so that tests can cut the power after each.

Rules of this file:
- Each step is done once and its result kept; see journal.py.
- Every step may run twice, because the power may fail between its end and the record of it.
- Before each step the device has to be quiet: no camera is sending, and it is cool.
- Only models of the configured engine are activated. Another engine is a setting of the operator: it is suggested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import msgspec

from appliance.commands.tune.choice import Candidate, Choice, choose
from appliance.commands.tune.journal import Journal
from appliance.errors import EngineError, ModelError
from appliance.ports import ReportLine


class Measured(msgspec.Struct, frozen=True):
    """What a model costs on an engine. `skipped`: why it could not be measured; empty: it was."""

    cpu_ms: float = 0.0
    fps: float = 0.0
    skipped: str = ""


class Compared(msgspec.Struct, frozen=True):
    """How many boxes are the float model's, %; None: there are no pictures to compare them on."""

    percent: float | None


@dataclass(frozen=True, slots=True)
class Acts:
    """What the steps do. Each may raise ModelError or EngineError."""

    wait_until_quiet: Callable[[], None]
    make_int8: Callable[[], str]
    """Makes the INT8 model unless it exists; the result for a person."""
    has_int8: Callable[[], bool]
    measure: Callable[[str, str], Measured]
    """Takes an engine and a model."""
    agreement: Callable[[str, str], float | None]
    """Of an engine and a model with the float model, %; None: there are no pictures."""
    activate: Callable[[str], None]
    stage: ReportLine
    """Names the step that begins."""
    report: ReportLine


@dataclass(frozen=True, slots=True)
class TuneSubject:
    """What is tuned: the float model, its INT8 version, the model in use, the configured engine and all others."""

    model: str
    int8: str
    in_use: str
    engine: str
    others: tuple[str, ...]


def tune(subject: TuneSubject, journal: Journal, acts: Acts) -> Choice | None:
    """Measure, choose, activate. Returns the choice for the configured engine; None: nothing could be measured."""
    if journal.finished:
        journal.start_again()
    before = journal.once("before", lambda: subject.in_use, str)
    acts.report(f"INT8: {journal.once('int8', partial(_make_int8, acts), str)}")
    candidates = list(_candidates(subject, journal, acts))
    own = choose([one for one in candidates if one.engine == subject.engine], subject.engine, before)
    overall = choose(candidates, subject.engine, own.best.model if own else before)
    if own is None:
        return None
    if own.best.model != before:
        journal.once("activate", partial(_activate, acts, own.best.model), str)
    else:
        acts.report("the model in use stays active")
    if overall is not None and overall.best.engine != subject.engine:
        name = overall.best.engine
        acts.report(
            f'{name} {overall.why}. To use it: engine.kind = "{name}" in the settings, then restart the service'
        )
    journal.finish()
    return own


def _candidates(subject: TuneSubject, journal: Journal, acts: Acts) -> Iterator[Candidate]:
    pairs = [(subject.engine, subject.model)]
    if acts.has_int8():
        pairs.append((subject.engine, subject.int8))
    pairs += [(engine, subject.model) for engine in subject.others]
    for engine, model in pairs:
        title = f"{model} on {engine}"
        found = journal.once(f"measure {title}", partial(_measure, acts, engine, model), Measured)
        if found.skipped:
            acts.report(f"{title}: skipped: {found.skipped.partition('. ')[0]}")
            continue
        same = Compared(None)
        if (engine, model) != pairs[0]:
            same = journal.once(f"compare {title}", partial(_compare, acts, engine, model), Compared)
        alike = "" if same.percent is None else f", {same.percent:.1f} % of the boxes as {subject.model}"
        acts.report(f"{title}: {found.cpu_ms:.1f} ms of CPU time a frame, {found.fps:.1f} frames/s{alike}")
        yield Candidate(engine, model, found.cpu_ms, found.fps, same.percent)


def _make_int8(acts: Acts) -> str:
    acts.wait_until_quiet()
    acts.stage("INT8")
    try:
        return acts.make_int8()
    except (ModelError, EngineError) as error:  # such as no internet, or too little accuracy: tune without it
        return f"not made: {error}"


def _measure(acts: Acts, engine: str, model: str) -> Measured:
    acts.wait_until_quiet()
    acts.stage(f"measuring {model} on {engine}")
    try:
        return acts.measure(engine, model)
    except (ModelError, EngineError) as error:  # a package that is missing, or a model without its file
        return Measured(skipped=str(error))


def _compare(acts: Acts, engine: str, model: str) -> Compared:
    acts.wait_until_quiet()
    acts.stage(f"comparing {model} on {engine}")
    return Compared(acts.agreement(engine, model))


def _activate(acts: Acts, model: str) -> str:
    acts.wait_until_quiet()
    acts.stage(f"activating {model}")
    acts.activate(model)
    return model
