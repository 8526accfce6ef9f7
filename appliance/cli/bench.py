"""`appliance bench`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from appliance.cli.arguments import FAILED, OK, add_command, add_settings, complain, in_force
from appliance.device import logs


def add(commands: Any) -> None:
    """Put it among the commands."""
    bench = add_command(commands, "bench", _bench, "measure what this machine can do with its model")
    add_settings(bench)
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


def _bench(arguments: argparse.Namespace) -> int:
    settings = in_force(arguments)
    logs.set_up("warning")
    from appliance.commands.bench import measure, plan, plot, report
    from appliance.commands.bench.progress import Progress
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
            return complain(f"{path} cannot be written: {error.strerror}", FAILED)
    return OK
