"""`appliance serve`."""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from appliance import __version__, heap
from appliance.camera import sources
from appliance.cli.arguments import OK, add_command, add_settings, checkout, config_path, flags_of, settings_of
from appliance.device import logs
from appliance.errors import ConfigError
from appliance.imports import loading, without
from appliance.settings import loader
from appliance.settings.loader import Chosen
from appliance.settings.schema import Settings
from appliance.settings.sources import SettingsDenied
from appliance.timeline import Timeline

if TYPE_CHECKING:
    from appliance.flow.inference import Network
    from appliance.service import run
    from appliance.service.entrance import FirstToken

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def add(commands: Any) -> None:
    """Add the command."""
    serve = add_command(commands, "serve", _serve, "run the service: process frames from cameras")
    add_settings(serve)
    serve.add_argument("--host", dest="server.host", metavar="HOST", help="address to listen on (server.host)")
    serve.add_argument("--port", dest="server.port", metavar="PORT", help="TCP port (server.port); 0: any free port")
    serve.add_argument(
        "--camera", metavar="SOURCE", help="also push this source as camera 'demo'; see `appliance camera --help`"
    )
    serve.add_argument(
        "--safe-mode",
        action="store_true",
        help="with invalid settings, stay up and report what to fix, as under systemd",
    )


def _serve(arguments: argparse.Namespace) -> int:
    timeline = Timeline(time.monotonic, time.monotonic())
    heap.settle()
    if arguments.camera and not arguments.camera.startswith(("env:", "@")):
        sources.check_exists(arguments.camera)
    chosen = _choose(arguments)
    logs.set_up(chosen.settings.log.level)
    faulthandler.enable()  # so that the watchdog's SIGABRT prints the stack of every thread
    with loading(), without("requests"):  # only python-socketio's clients on threads use it: 5 MB
        from appliance.service import loading as network_loading
        from appliance.service import supervise
        from appliance.service.ending import end_around_the_engine, run_and_end

    timeline.mark("imports")

    opened = False

    def load(settings: Settings) -> Network:
        nonlocal timeline
        if opened:  # loading after safe mode, perhaps hours later, or a trial of another model
            timeline = Timeline(time.monotonic, time.monotonic())
        return network_loading.load_to_serve(settings, mark=timeline.mark)

    def port_open(settings: Settings, started: run.Started) -> None:
        nonlocal opened
        opened = True
        timeline.mark("port open")
        for line in _banner(settings, started):
            print(line, flush=True)

    def ready(started: run.Started) -> None:
        timeline.mark("first answer")
        heap.freeze()
        network = started.parts.path.detector.network
        model = "no model"
        if network:
            info = network.info
            model = f"{info.name} on {info.device}, {info.computed_in(network.engine.precision)}"
        hint = " Press Ctrl-C to stop." if sys.stdin.isatty() else ""
        print(f"  ready after {timeline.total_s:.1f} s: {model}.{hint}", flush=True)
        print(f"  startup: {timeline}", flush=True)

    choose = partial(_choose, arguments)
    service = supervise.serve(choose, started=port_open, ready=ready, camera_source=arguments.camera, load=load)
    asyncio.run(run_and_end(service, OK))
    end_around_the_engine(OK)
    return OK


def _banner(settings: Settings, started: run.Started) -> Iterator[str]:
    """What the console shows once the port is open: how to reach the service, and from where."""
    from appliance.service.addresses import addresses

    presented = started.parts.encryption.tls.state
    first, *others = addresses(settings.server.host, started.port, tls=presented is not None)
    yield f"appliance {__version__}  {settings.profile}  {first}"
    for other in others:
        yield f"  from the network: {other}"
    if presented is not None:
        yield f"  certificate SHA-256: {presented.facts.fingerprint_in_pairs}"
        yield f"  for `appliance camera --to`: {(others or [first])[0]}#sha256={presented.facts.key_pin}"
    if settings.server.host in _LOOPBACK:
        yield "  Only this machine can connect. To open it to the network: server.host (make run HOST=0.0.0.0)"
    if started.first_token is not None:
        yield from _first_token(started.first_token, (others or [first])[0])


def _first_token(first: FirstToken, url: str) -> Iterator[str]:
    """The operator's token, for a terminal; a log would keep it."""
    from appliance.commands.qr_code import qr_code, sign_in_url

    if not sys.stdout.isatty():
        yield f"  the operator's token is in {first.path} until it is used"
        return
    sign_in = sign_in_url(url, first.token)
    yield f"  operator's token, shown only this once: {first.token}"
    yield f"  or open {sign_in}"
    yield from qr_code(sign_in)


def _choose(arguments: argparse.Namespace) -> Chosen:
    """Load the settings; in safe mode, the valid part of invalid ones and the error. Raises ConfigError."""
    try:
        return Chosen(settings_of(arguments))
    except ConfigError as error:
        if not (arguments.safe_mode or "NOTIFY_SOCKET" in os.environ):
            raise
        problem = error.for_the_service() if isinstance(error, SettingsDenied) else error
        return Chosen(loader.salvage(config_path(arguments), os.environ, flags_of(arguments), checkout()), problem)
