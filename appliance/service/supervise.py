"""Run the service until a signal stops it, in safe mode if need be.

Rules of this file:
- Invalid settings or a broken model do not stop the service: in safe mode it answers `/health` with what to fix, and
  every frame with an error.
- A device that started without a model tries again on a reload; once a model is activated, a reload is an ordinary one.
- It leaves safe mode by itself when the settings have been fixed: the service is built again in the same process.
  Exiting instead would count as a crash, depend on how the unit restarts it, and close the port.
- On a terminal, invalid settings end the command at once (see `cli`).
- systemd's sockets replace `server.host` and `server.port` here, so that every part names the port that clients reach.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import anyio
import msgspec

from appliance.device import listening_address, systemd
from appliance.device.listening_address import ListeningAddress
from appliance.ports import Notifier
from appliance.service import loading, run
from appliance.service.parts import LoadNetwork, ProcessMemory
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
    passed, memory = systemd.passed_sockets(), ProcessMemory()
    address = listening_address.of_sockets(passed)

    def choose_here() -> Chosen:
        return _at(choose(), address)

    def read() -> Settings:
        written = _valid(choose())
        _complain_about_port(written.settings, address)
        return _at(written, address).settings

    while not signals.stop.is_set():
        written = choose()
        _complain_about_port(written.settings, address)
        chosen = _at(written, address)
        if chosen.problem is not None:
            log.error("safe mode, no frame is processed: %s", chosen.problem, extra={"code": "safe_mode"})
        await run.serve(
            chosen.settings,
            run.Hooks(
                started=partial(started, chosen.settings),
                ready=ready,
                until=partial(_until_stop_or_restart, choose_here, chosen, signals, notifier),
            ),
            run.Surroundings(
                [one.dup() for one in passed],
                notifier,
                signals.reload,
                camera_source,
                runtime=systemd.runtime_folder(),
                memory=memory,
            ),
            problem=chosen.problem,
            read=read,
            load=load,
        )


def _at(chosen: Chosen, address: ListeningAddress | None) -> Chosen:
    """The settings with the address of the sockets that systemd passed."""
    if address is None:
        return chosen
    server = msgspec.structs.replace(chosen.settings.server, host=address.host, port=address.port)
    return replace(chosen, settings=msgspec.structs.replace(chosen.settings, server=server))


def _complain_about_port(settings: Settings, address: ListeningAddress | None) -> None:
    written = settings.server.port
    if address is not None and written not in (address.port, Settings().server.port):
        log.warning(
            "server.port = %d has no effect: systemd's appliance.socket listens on %s. Remove the setting; to use "
            "another port: systemctl edit appliance.socket",
            written,
            address,
        )


def _valid(chosen: Chosen) -> Chosen:
    """Raises ConfigError for settings that are not those that are written."""
    if chosen.problem is not None:
        raise chosen.problem
    return chosen


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
