"""`appliance tune`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from appliance.cli.arguments import (
    FAILED,
    OK,
    USAGE,
    add_command,
    add_settings,
    complain,
    running_service,
    settings_of,
)
from appliance.device import logs


def add(commands: Any) -> None:
    """Add the command."""
    tune = add_command(
        commands,
        "tune",
        _tune,
        "measure what runs on this device, and activate the fastest model that detects the same",
    )
    add_settings(tune)
    tune.add_argument(
        "--pictures", type=Path, metavar="FOLDER",
        help="pictures of this site's cameras: makes an INT8 version of the model, and compares on them (default: the "
        "frames that the service has kept, see model.calibration_frames)",
    )  # fmt: skip
    tune.add_argument("--undo", action="store_true", help="go back to the model that was in use before")


def _tune(arguments: argparse.Namespace) -> int:
    configured = settings_of(arguments)
    if arguments.pictures is not None and not arguments.pictures.is_dir():
        return complain(f"--pictures {arguments.pictures} is not a folder", USAGE)
    logs.set_up("warning")
    os.nice(max(0, 10 - os.nice(0)))
    from appliance.commands.bench.progress import Progress
    from appliance.commands.tune import acts, run

    service = running_service()
    subject = acts.subject_of(configured)
    pictures = arguments.pictures or acts.kept_frames(configured)
    benches_s = (2 + len(subject.others)) * 2 * acts.SECONDS
    progress = Progress(sys.stderr, benches_s + (acts.QUANTIZE_S if pictures else 0.0))
    try:
        if arguments.undo:
            print(f"{acts.undo(configured, service, progress)} is in use again")
            return OK
        choice = run.tune(
            subject,
            acts.journal_of(configured, subject),
            acts.acts_of(configured, subject, service, pictures, progress),
        )
    finally:
        progress.clear()
    if choice is None:
        return complain("no model could be measured on the configured engine; see the lines above", FAILED)
    print(f"{choice.best.model} on {choice.best.engine}: it {choice.why}")
    return OK
