"""Put an installed release on trial, watch it, and keep it or go back: root's part of an update.

Rules of this file:
- Everything that decides about a release is code of the older one, or the update guard.
- From the moment on that a release is on trial, every way out of here keeps it or goes back from it.
- Older releases are removed only after the newer one is kept, by the guard, which knows what it would go back to.
"""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from appliance import files
from appliance.update import guard_state
from appliance.update.gate import Baseline, Judgement, Observation, TrialState, Verdict, judge
from appliance.update.offer import Offer
from appliance.update.places import UpdateError, UpdatePlaces

log = logging.getLogger(__name__)

GUARD = Path("/usr/libexec/appliance/update-guard")
_MOST_BYTES = 100_000
_EVERY_S = 10.0
_SYSTEMCTL_S = 1000.0
_COOL_WITHIN_S = 600.0

Run = Callable[..., None]
"""Runs a command. Raises UpdateError with the end of its output."""


def run(*command: str) -> None:
    """Raises UpdateError with the end of the output."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SYSTEMCTL_S)
    except FileNotFoundError:
        raise UpdateError(f"{command[0]} is missing: run the installer again") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UpdateError(f"{command[0]}: {error}") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise UpdateError(f"{' '.join(command[:2])}: {lines[-1] if lines else f'exit code {done.returncode}'}")


def begin_trial(places: UpdatePlaces, offer: Offer, baseline: Baseline, run: Run = run) -> None:
    """Switch to an installed release and start it. Raises UpdateError; then the older one runs."""
    files.write(_baseline(places), msgspec.json.encode(baseline))
    run(str(GUARD), "check", offer.name)
    run(str(GUARD), "try", offer.name, str(offer.number))
    try:
        # Clients that connect now wait at the socket. The guard copies the state while the service is down.
        run("systemctl", "restart", "--no-block", "appliance.service")
        run("systemctl", "start", "--no-block", "appliance-update-watch.service")
    except BaseException as error:
        go_back(f"it could not be started: {error}", run)
        raise


def warm(name: str, cooling: Callable[[], bool], run: Run = run, sleep: Callable[[float], None] = time.sleep) -> None:
    """Have the networks of a release compiled before it is used, once the device is cool. Without it the first start
    takes longer, so nothing that goes wrong here ends the update.
    """
    for _ in range(int(_COOL_WITHIN_S / _EVERY_S)):
        if not cooling():
            break
        sleep(_EVERY_S)
    else:
        log.warning("the device is too hot to compile networks ahead: the first start of %s takes longer", name)
        return
    try:
        run("systemctl", "start", f"appliance-update-warm@{_escaped(name)}.service")
    except UpdateError as error:
        log.warning("networks are not compiled ahead (%s): the first start of %s takes longer", error, name)


def _escaped(name: str) -> str:
    """The name of a release as the instance of a unit: systemd takes `-` for `/`."""
    return "".join(one if one.isalnum() or one == "." else f"\\x{ord(one):02x}" for one in name)


def go_back(why: str, run: Run = run) -> None:
    """Return to the older release and start it."""
    run(str(GUARD), "undo", why)
    run("systemctl", "restart", "appliance.service")


def watch(
    places: UpdatePlaces,
    observe: Callable[[], Observation],
    commit_after_s: float,
    run: Run = run,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Judgement:
    """Watch the release on trial until it is kept or undone."""
    if not guard_state.read(places.state).on_trial:
        return Judgement(Verdict.WAIT, "no release is on trial")
    baseline, trial, started_s = read_baseline(places), TrialState(), clock()
    try:
        while True:
            trial, judgement = judge(trial, baseline, observe(), clock() - started_s, commit_after_s)
            if judgement.verdict is not Verdict.WAIT:
                break
            sleep(_EVERY_S)
            if not guard_state.read(places.state).on_trial:
                return Judgement(Verdict.WAIT, "the trial was ended by the guard or by a person")
    except Exception as error:
        log.exception("the watch over the release on trial failed")
        judgement = Judgement(Verdict.UNDO, f"the watch over it failed: {error}")
    if judgement.verdict is Verdict.KEEP:
        keep(run)
    else:
        log.error("going back: %s", judgement.why)
        go_back(judgement.why, run)
    return judgement


def keep(run: Run = run) -> None:
    """Keep the release on trial; the guard then removes older ones. Raises UpdateError."""
    run(str(GUARD), "commit")


def read_baseline(places: UpdatePlaces) -> Baseline:
    """What the older release did; nothing, if it is unknown."""
    try:
        return msgspec.json.decode(files.read_plain(_baseline(places), _MOST_BYTES), type=Baseline)
    except (OSError, msgspec.MsgspecError):
        return Baseline()


def _baseline(places: UpdatePlaces) -> Path:
    return places.base / "update/baseline.json"
