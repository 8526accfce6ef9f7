"""`appliance bench`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from appliance.cli.arguments import FAILED, OK, add_command, add_settings, complain, in_force
from appliance.device import logs
from appliance.errors import ConfigError, did_you_mean


def add(commands: Any) -> None:
    """Add the command."""
    bench = add_command(commands, "bench", _bench, "measure how many frames per second this device can process")
    add_settings(bench)
    bench.add_argument(
        "--sides",
        default="",
        metavar="640,512,…",
        help="longest input sides, px (default: those that the governor uses)",
    )
    bench.add_argument(
        "--seconds", default="5", metavar="N", help="how long to measure each input size (default: %(default)s)"
    )
    bench.add_argument(
        "--soak", default="", metavar="30m", help="then run at full load this long, to measure the device when hot"
    )
    bench.add_argument(
        "--engine",
        default="",
        metavar="NAME,…",
        help="also measure these engines with the same model; all: every engine",
    )
    bench.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE as JSON")
    bench.add_argument("--svg", type=Path, metavar="FILE", help="write a chart of the results to FILE")


def _bench(arguments: argparse.Namespace) -> int:
    settings = in_force(arguments)
    logs.set_up("warning")
    from appliance.commands.bench import measure, plan, plot, report
    from appliance.commands.bench.progress import Progress
    from appliance.engines import registry

    chosen = plan.make_plan(
        sides=arguments.sides, seconds=arguments.seconds, soak=arguments.soak, usual_side=settings.flow.max_side
    )
    if arguments.engine:
        chosen = replace(chosen, engines=_engines(arguments.engine, registry.names()))
    progress = Progress(sys.stderr, measure.expected_s(settings, chosen))
    try:
        result = measure.measure(settings, chosen, progress)
    finally:
        progress.clear()
    print(report.table(result))
    for path, encode in ((arguments.json, report.to_json), (arguments.svg, plot.svg)):
        try:
            if path:
                path.write_bytes(encode(result))
        except OSError as error:
            return complain(f"{path} cannot be written: {error.strerror}", FAILED)
    return OK


def _engines(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """The engines named in the option. Raises ConfigError for one that does not exist, before minutes of measuring."""
    if text == "all":
        return tuple(known)
    engines = tuple(name.strip() for name in text.split(","))
    for name in engines:
        if name not in known:
            raise ConfigError(f"--engine {name}: must be all, or of {', '.join(known)}{did_you_mean(name, known)}")
    return engines
