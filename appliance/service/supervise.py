"""From the settings, whatever they are worth, to a service that runs until it is told to stop.

Rules of this file:
- A box whose settings are wrong, or whose model is, stays up: in safe mode it answers `/health` with what to mend, and
  every frame with an error.
- A box that began without a model tries again when it is told to reload; once a model was activated in it, a reload
  is what it is anywhere.
- It leaves safe mode by itself when the settings have been mended: the service is built anew in this same process.
  Ending the process instead would count as a crash, hang on how the unit restarts it, and close a port that nobody else
  holds open.
- Where a person typed the command, wrong settings end it at once (see `cli`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

import anyio

from appliance.device import systemd
from appliance.ports import Notifier
from appliance.service import loading, run
from appliance.service.build import LoadNetwork
from appliance.service.signals import Signals
from appliance.settings.loader import Chosen
from appliance.settings.schema import Settings

log = logging.getLogger(__name__)

_LOOK_AGAIN_S = 2.0


async def serve(
    choose: Callable[[], Chosen],
    *,
    started: Callable[[Settings, run.Started], None],
    ready: Callable[[run.Started], None],
    camera_source: str | None = None,
    load: LoadNetwork = loading.load_to_serve,
) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reloads. `choose` is asked for the settings at the start, at a reload, and
    now and then in safe mode.

    Raises ConfigError from `choose`, PortError when the port cannot be opened.
    """
    signals, notifier = Signals(), systemd.notifier()
    signals.listen()
    passed = systemd.passed_sockets()
    while not signals.stop.is_set():
        chosen = choose()
        if chosen.problem is not None:
            log.error("safe mode, no frame is looked at: %s", chosen.problem, extra={"code": "safe_mode"})
        await run.serve(
            chosen.settings,
            run.Hooks(
                started=partial(started, chosen.settings),
                ready=ready,
                until=partial(_until_stop_or_restart, choose, chosen, signals, notifier),
            ),
            run.Surroundings([one.dup() for one in passed], notifier, signals.reload, camera_source),
            problem=chosen.problem,
            read=partial(_read, choose),
            load=load,
        )


def _read(choose: Callable[[], Chosen]) -> Settings:
    """The settings as they are written now, or ConfigError."""
    chosen = choose()
    if chosen.problem is not None:
        raise chosen.problem
    return chosen.settings


async def _until_stop_or_restart(
    choose: Callable[[], Chosen], chosen: Chosen, signals: Signals, notifier: Notifier, started: run.Started
) -> None:
    """Return when the service is to stop, or in safe mode when it is to be built anew."""
    async with anyio.create_task_group() as group:
        detector = started.parts.path.detector
        if detector.network is None:
            group.start_soon(
                _mended,
                choose,
                chosen,
                lambda: detector.network is None,
                signals.reload,
                group.cancel_scope,
                name="mended",
            )
        await signals.stop.wait()
        group.cancel_scope.cancel()
    notifier.tell(systemd.STOPPING if signals.stop.is_set() else systemd.reloading(time.monotonic()))


async def _mended(
    choose: Callable[[], Chosen],
    chosen: Chosen,
    dark: Callable[[], bool],
    asked: asyncio.Event,
    scope: anyio.CancelScope,
) -> None:
    """Cancel when somebody asks for another try, or the settings are not those that brought us here; but never when it
    is no longer `dark`, because a model was activated.
    """
    loop = asyncio.get_running_loop()
    again = chosen
    while dark() and again.same(chosen) and not asked.is_set():
        with anyio.move_on_after(_LOOK_AGAIN_S):
            await asked.wait()
        if chosen.problem is not None:
            again = await loop.run_in_executor(None, choose)
    if not dark():
        return
    asked.clear()
    log.warning("trying again with the settings as they are now")
    scope.cancel()
