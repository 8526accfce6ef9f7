"""Run the service until a signal stops it, in safe mode if need be.

Rules of this file:
- Invalid settings or a broken model do not stop the service: in safe mode it answers `/health` with what to fix, and
  every frame with an error.
- A device that started without a model tries again on a reload; once a model is activated, a reload is an ordinary one.
- It leaves safe mode by itself when the settings have been fixed: the service is built again in the same process.
  Exiting instead would count as a crash, depend on how the unit restarts it, and close the port.
- On a terminal, invalid settings end the command at once (see `cli`).
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
from appliance.service.parts import LoadNetwork
from appliance.service.signals import Signals
from appliance.settings.loader import Chosen
from appliance.settings.schema import Settings

log = logging.getLogger(__name__)

_POLL_S = 2.0


async def serve(
    choose: Callable[[], Chosen],
    *,
    started: Callable[[Settings, run.Started], None],
    ready: Callable[[run.Started], None],
    camera_source: str | None = None,
    load: LoadNetwork = loading.load_to_serve,
) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reloads. `choose` reads the settings: at the start, on a reload, and
    periodically in safe mode.

    Raises ConfigError from `choose`, PortError when the port cannot be opened.
    """
    signals, notifier = Signals(), systemd.notifier()
    signals.listen()
    passed = systemd.passed_sockets()
    while not signals.stop.is_set():
        chosen = choose()
        if chosen.problem is not None:
            log.error("safe mode, no frame is processed: %s", chosen.problem, extra={"code": "safe_mode"})
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
    """Read the settings. Raises ConfigError."""
    chosen = choose()
    if chosen.problem is not None:
        raise chosen.problem
    return chosen.settings


async def _until_stop_or_restart(
    choose: Callable[[], Chosen], chosen: Chosen, signals: Signals, notifier: Notifier, started: run.Started
) -> None:
    """Return when the service is to stop or restart, or in safe mode when it is to be built again."""
    async with anyio.create_task_group() as group:
        detector = started.parts.path.detector
        if detector.network is None:
            group.start_soon(
                _retry_in_safe_mode,
                choose,
                chosen,
                lambda: detector.network is None,
                signals.reload,
                group.cancel_scope,
                name="safe mode",
            )
        group.start_soon(_cancel_when, started.parts.restart, group.cancel_scope, name="restart")
        await signals.stop.wait()
        group.cancel_scope.cancel()
    notifier.notify(systemd.STOPPING if signals.stop.is_set() else systemd.reloading(time.monotonic()))


async def _cancel_when(asked: asyncio.Event, scope: anyio.CancelScope) -> None:
    """Cancel `scope` when a person asks for a restart."""
    await asked.wait()
    log.warning("restarting, as asked")
    scope.cancel()


async def _retry_in_safe_mode(
    choose: Callable[[], Chosen],
    chosen: Chosen,
    dark: Callable[[], bool],
    asked: asyncio.Event,
    scope: anyio.CancelScope,
) -> None:
    """Cancel `scope` when a reload is asked for or the settings have changed, unless a model was activated meanwhile
    (no longer `dark`).
    """
    loop = asyncio.get_running_loop()
    again = chosen
    while dark() and again.same(chosen) and not asked.is_set():
        with anyio.move_on_after(_POLL_S):
            await asked.wait()
        if chosen.problem is not None:
            again = await loop.run_in_executor(None, choose)
    if not dark():
        return
    asked.clear()
    log.warning("leaving safe mode: starting again with the present settings")
    scope.cancel()
