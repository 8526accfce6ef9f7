"""The command line: arguments in, exit codes out.

`EXIT_CODES` says what each means; docs/operations.md says what to do.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import json
import logging
import os
import socket
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from appliance import __version__, config, control, durations, model_commands
from appliance.config import Chosen
from appliance.device import logs, runtime
from appliance.errors import ApplianceError, ConfigError, ModelError
from appliance.model_commands import Lent
from appliance.process.orders import INTERRUPTED
from appliance.timeline import Timeline
from appliance.values import Detected, Failed

OK, FAILED, USAGE, NO_MODEL = 0, 1, 2, 3
EXIT_CODES = {
    OK: "done, or stopped as asked",
    FAILED: "something failed while it ran",
    USAGE: "wrong usage or wrong settings",
    NO_MODEL: "no working model",
    INTERRUPTED: "stopped at once by a second Ctrl-C",
}


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except ConfigError as error:
        return _complain(error, USAGE)
    except ModelError as error:
        hint = "" if error.code == "model_fetch_failed" else ". Run `appliance model fetch --force`, or set model.name"
        return _complain(f"{error}{hint}", NO_MODEL)
    except ApplianceError as error:
        return _complain(error, FAILED)
    except KeyboardInterrupt:
        return OK
    except BrokenPipeError:
        sys.stderr.close()
        return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="appliance", description="Cameras push frames, the box says what it sees.")
    parser.add_argument("--version", action="version", version=f"appliance {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    serve = _command(commands, "serve", _serve, "take frames from cameras and answer them")
    _add_settings(serve)
    serve.add_argument("--host", dest="server.host", metavar="HOST", help="address to listen on (server.host)")
    serve.add_argument("--port", dest="server.port", metavar="PORT", help="TCP port (server.port); 0: any free one")
    serve.add_argument("--camera", metavar="SOURCE", help="also push this source as camera 'demo': see `camera --help`")

    serve.add_argument(
        "--safe-mode", action="store_true", help="with wrong settings stay up and show what to mend, as under systemd"
    )

    camera = _command(commands, "camera", _camera, "push pictures to a box as a camera does")
    _add_settings(camera)
    for flag, key, what, help_ in (
        ("--to", "to", "URL", "the box, http://box:8080; not given: found by mDNS"),
        ("--name", "name", "NAME", "this camera's name; not given: the host's"),
        ("--token-file", "token_file", "FILE", "holds the camera's token; or put it into $APPLIANCE_TOKEN"),
        ("--source", "source", "SOURCE", "demo (a drawn street), picamera, a folder or file of pictures, a video, "
         "/dev/video0, rtsp://… or http://…"),
        ("--save", "save_dir", "DIR", "keep pictures that have something in them"),
    ):  # fmt: skip
        camera.add_argument(flag, dest=f"camera.{key}", metavar=what, help=f"{help_} (camera.{key})")
    camera.add_argument("--on", action="append", default=[], metavar="CLASS", help="when it is seen, run COMMAND")
    camera.add_argument("--json", action="store_true", help="print each answer as a line of JSON")
    camera.add_argument("--quiet", action="store_true", help="print nothing but problems")
    camera.add_argument(
        "run", nargs="*", metavar="COMMAND", help="after --, for --on: gets the answer as JSON on stdin"
    )

    detect = _command(commands, "detect", _detect, "find objects in picture files, without a service")
    _add_settings(detect)
    detect.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE", help="JPEG, PNG or WebP files")
    detect.add_argument("--json", action="store_true", help="print one JSON object a picture")
    detect.add_argument("--save", type=Path, metavar="FILE", help="write the picture with its boxes (one PICTURE)")

    bench = _command(commands, "bench", _bench, "measure what this machine can do with its model")
    _add_settings(bench)
    bench.add_argument(
        "--sides", default="", metavar="640,512,…", help="longest sides to measure, px (default: ladder)"
    )
    bench.add_argument("--seconds", default="5", help="how long each is measured (default: %(default)s)")
    bench.add_argument(
        "--soak", default="", metavar="30m", help="then work this long at the largest one, to see it hot"
    )
    bench.add_argument(
        "--engine",
        default="",
        metavar="NAME,…",
        help="measure these engines too, on the same model; all: each known one",
    )
    bench.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    bench.add_argument("--svg", type=Path, metavar="FILE", help="also draw them there")

    doctor = _command(commands, "doctor", _doctor, "check that this machine can do the work, and say what to mend")
    _add_settings(doctor)

    board = _command(commands, "board", _board, "what this machine is, and what would be configured for it")
    board.add_argument("--toml", action="store_true", help="print the configuration for it")
    board.add_argument("--drop-ins", action="store_true", help="print the names of its files in systemd/boards")

    address = _command(
        commands, "address", _address, "where a browser on this network finds the box; exit 1: nowhere yet"
    )
    _add_settings(address)
    address.add_argument("--qr", action="store_true", help="also as a code for a phone's camera")

    settings = commands.add_parser("config", help="show or check the settings")
    settings_commands = settings.add_subparsers(required=True, metavar="COMMAND")
    show = _command(settings_commands, "show", _config_show, "print all settings in force, each explained")
    _add_settings(show)
    check = _command(settings_commands, "check", _config_check, "check a settings file; exit 2 if it is wrong")
    check.add_argument("file", nargs="?", type=Path, help="default: $APPLIANCE_CONFIG or /etc/appliance/appliance.toml")

    governor = commands.add_parser("governor", help="show or hold how much the running service takes on")
    governor_commands = governor.add_subparsers(required=True, metavar="COMMAND")
    _command(governor_commands, "show", _governor_show, "print the cooling state, why, and what each state means")
    hold = _command(governor_commands, "hold", _governor_hold, "keep one cooling state, below the critical point")
    hold.add_argument("state", type=int, metavar="STATE", help="0 is full work; `appliance governor show` lists them")
    hold.add_argument("--for", dest="for_", default="10m", metavar="10m", help="s, m or h, 24h at the most (10m)")
    _command(governor_commands, "release", _governor_release, "let the governor find its own way again")

    model = commands.add_parser("model", help="what networks there are, and which one is in use")
    model_commands.add(model, Lent(_command, _add_settings, _settings, _complain))
    return parser


def _command(commands: Any, name: str, function: Any, help_: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help_, description=help_[0].upper() + help_[1:])
    parser.set_defaults(command=function)
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("settings", "`appliance config show` explains each")
    group.add_argument("--config", type=Path, metavar="FILE", help="TOML file (default: /etc/appliance/appliance.toml)")
    group.add_argument("--profile", help="development, production or realtime")
    group.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="any setting; may be repeated"
    )


def _settings(arguments: argparse.Namespace) -> config.Settings:
    return config.load(_path(arguments), os.environ, _flags(arguments))


def _path(arguments: argparse.Namespace) -> Path | None:
    return getattr(arguments, "config", None) or config.default_path()


def _flags(arguments: argparse.Namespace) -> dict[str, str]:
    flags: dict[str, str] = {}
    for item in getattr(arguments, "set", []):
        key, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"--set {item}: write SECTION.KEY=VALUE, for example --set server.port=9000")
        flags[key.strip()] = value.strip()
    for name, value in vars(arguments).items():
        if value is not None and (name == "profile" or "." in name):
            flags[name] = value
    return flags


def _in_force(arguments: argparse.Namespace) -> config.Settings:
    """The settings, with the model that was activated last."""
    from appliance.parts import in_force

    return in_force(_settings(arguments))


def _serve(arguments: argparse.Namespace) -> int:
    timeline = Timeline(time.monotonic, time.monotonic())
    chosen = _choose(arguments)
    logs.set_up(chosen.settings.log.level)
    faulthandler.enable()  # the watchdog's SIGABRT then writes where every thread stood
    from appliance import boot, parts, run
    from appliance.process.addresses import addresses

    timeline.mark("imports")

    def started(settings: config.Settings, box: run.Started) -> None:
        timeline.mark("port open")
        first, *others = addresses(settings.server.host, box.port)
        print(f"appliance {__version__}  {settings.profile}  {first}", flush=True)
        for other in others:
            print(f"  from the network: {other}", flush=True)

    def ready(box: run.Started) -> None:
        timeline.mark("first answer")
        network = box.health.detector.network
        model = "no model"
        if network:
            info = network.info
            model = f"{info.name} on {info.device}, {info.computed_in(network.engine.precision)}"
        print(f"  ready after {timeline.total_s:.1f} s: {model}. Ctrl-C stops it.", flush=True)
        print(f"  of which {timeline}", flush=True)

    choose, load = partial(_choose, arguments), partial(parts.load_network, mark=timeline.mark)
    asyncio.run(boot.serve(choose, started=started, ready=ready, camera_source=arguments.camera, load=load))
    return OK


def _choose(arguments: argparse.Namespace) -> Chosen:
    """The settings; where nobody may be there to read an error, the good part of them and what is wrong."""
    try:
        return Chosen(_settings(arguments))
    except ConfigError as error:
        if not (arguments.safe_mode or "NOTIFY_SOCKET" in os.environ):
            raise
        return Chosen(config.salvage(_path(arguments), os.environ, _flags(arguments)), error)


def _camera(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments).camera
    logs.set_up("warning" if arguments.quiet else "info")
    if bool(arguments.on) != bool(arguments.run):
        return _complain("--on and the command belong together: --on person -- /path/to/command", USAGE)
    from appliance.camera import command

    options = command.Options(
        source=settings.source,
        name=settings.name or socket.gethostname().split(".")[0],
        url=settings.to,
        token=os.environ.get("APPLIANCE_TOKEN", ""),
        token_file=settings.token_file,
        save_dir=settings.save_dir,
        save_max_bytes=settings.save_max_bytes,
        on=tuple(arguments.on),
        command=tuple(arguments.run),
        command_interval_s=settings.command_interval_s,
        as_json=arguments.json,
        quiet=arguments.quiet,
    )
    asyncio.run(command.run(options, lambda line: print(line, flush=True)))
    return OK


def _detect(arguments: argparse.Namespace) -> int:
    if arguments.save and len(arguments.pictures) != 1:
        return _complain("--save takes one picture", USAGE)
    settings = _in_force(arguments)
    logs.set_up("warning")
    from appliance.still import detect_files
    from appliance.vision.decode import encode_jpeg
    from appliance.vision.draw import draw_detections

    worst = OK
    for still in detect_files(settings, arguments.pictures):
        if isinstance(still.outcome, Failed):
            worst = FAILED
            _complain(f"{still.path}: {still.outcome.message} ({still.outcome.code})", FAILED)
        elif isinstance(still.outcome, Detected):
            _print_detected(still.path, still.outcome, as_json=arguments.json)
            if arguments.save and still.pixels is not None:
                try:
                    arguments.save.write_bytes(encode_jpeg(draw_detections(still.pixels, still.outcome.detections), 90))
                except OSError as error:
                    worst = _complain(f"{arguments.save} cannot be written: {error.strerror}", FAILED)
    return worst


def _print_detected(path: Path, found: Detected, *, as_json: bool) -> None:
    from appliance.web.payloads import of_detection, of_size

    if as_json:
        detections = [of_detection(one) for one in found.detections]
        print(json.dumps({"file": str(path), "image_size": of_size(found.image_size), "detections": detections}))
        return
    size, timing = found.image_size, found.timing
    print(f"{path}  {size.width}x{size.height}  decode {timing.decode_ms:.0f} ms, inference {timing.infer_ms:.0f} ms")
    for one in found.detections:
        box = one.box_px
        print(f"  {one.name:<16} {one.confidence:4.0%}   {box.x1:6.0f} {box.y1:6.0f} {box.x2:6.0f} {box.y2:6.0f}")
    if not found.detections:
        print("  nothing found")


def _board(arguments: argparse.Namespace) -> int:
    from appliance import boards

    found = boards.find()
    if arguments.toml:
        print(boards.toml(found), end="")
    elif arguments.drop_ins:
        print(" ".join(boards.drop_ins(found)))
    else:
        for line in boards.table(found):
            print(line)
    return OK


def _address(arguments: argparse.Namespace) -> int:
    from appliance.process import addresses, signboard

    server = _settings(arguments).server
    found = addresses.addresses_from_outside(server.host, server.port)
    if not found:
        return _complain("this box has no address on a network yet; look at its cable or its Wi-Fi", FAILED)
    print(signboard.signboard(found) if arguments.qr else "\n".join(found))
    return OK


def _doctor(arguments: argparse.Namespace) -> int:
    settings = _in_force(arguments)
    logs.set_up("error")
    from appliance.doctor.examine import examine

    worst = OK
    for check in examine(settings):
        print(f"  {'✓' if check.ok else '✗'} {check.name:<14} {check.text}", flush=True)
        if not check.ok:
            print(f"    → {check.do}", flush=True)
            worst = FAILED
    return worst


def _bench(arguments: argparse.Namespace) -> int:
    settings = _in_force(arguments)
    logs.set_up("warning")
    from appliance.bench import measure, plan, plot, report
    from appliance.bench.progress import Progress
    from appliance.engines import registry

    wanted = plan.make_plan(
        sides=arguments.sides, seconds=arguments.seconds, soak=arguments.soak, usual_side=settings.flow.max_side
    )
    if arguments.engine:
        engines = registry.names() if arguments.engine == "all" else arguments.engine.split(",")
        wanted = replace(wanted, engines=tuple(engines))
    progress = Progress(sys.stderr, measure.expected_s(settings, wanted))
    try:
        found = measure.measure(settings, wanted, progress)
    finally:
        progress.clear()
    print(report.table(found))
    for path, content in ((arguments.json, report.to_json), (arguments.svg, plot.svg)):
        try:
            if path:
                path.write_bytes(content(found))
        except OSError as error:
            return _complain(f"{path} cannot be written: {error.strerror}", FAILED)
    return OK


def _config_show(arguments: argparse.Namespace) -> int:
    print(config.describe(_settings(arguments)), end="")
    return OK


def _config_check(arguments: argparse.Namespace) -> int:
    path = arguments.file or config.default_path()
    config.load(path, os.environ)
    print(f"{path or 'defaults and environment'}: good")
    return OK


def _governor_show(arguments: argparse.Namespace) -> int:
    print(control.show(_running().governor()))
    return OK


def _governor_hold(arguments: argparse.Namespace) -> int:
    for_s = durations.parse(arguments.for_)
    if not for_s:
        return _complain(f"--for {arguments.for_}: write a time with its unit, for example --for 10m", USAGE)
    print(control.show(_running().hold(arguments.state, for_s)))
    return OK


def _governor_release(arguments: argparse.Namespace) -> int:
    print(control.show(_running().release()))
    return OK


def _running() -> control.Control:
    return control.Control(runtime.control_sockets(os.environ, os.getuid()))


def _complain(error: object, code: int) -> int:
    logging.getLogger(__name__).debug("exit code %d", code)
    print(f"appliance: {error}", file=sys.stderr)
    return code
