"""`appliance support-bundle`."""

from __future__ import annotations

import argparse
import socket
import sys
import time
from pathlib import Path
from typing import Any

from appliance.cli.arguments import FAILED, OK, add_command, add_settings, complain, in_force, running_service
from appliance.device import logs


def add(commands: Any) -> None:
    """Add the command."""
    bundle = add_command(
        commands, "support-bundle", _bundle, "write one file with what a supporter needs to know, without secrets"
    )
    add_settings(bundle)
    bundle.add_argument("--out", metavar="FILE", default="", help="default: support-HOST-DATE.tar.gz here; -: stdout")


def _bundle(arguments: argparse.Namespace) -> int:
    settings = in_force(arguments)
    logs.set_up("error")
    from appliance.commands.support_bundle import collect, pack, secrets

    name = f"support-{socket.gethostname().partition('.')[0]}-{time.strftime('%Y-%m-%d-%H%M')}"
    files = collect.collect(settings, running_service())
    content = pack.pack(files, name, set(secrets.values_in(settings)), time.time())
    if arguments.out == "-":
        sys.stdout.buffer.write(content)
        return OK
    path = Path(arguments.out or f"{name}.tar.gz")
    try:
        path.write_bytes(content)
    except OSError as error:
        return complain(f"{path} cannot be written: {error.strerror}", FAILED)
    print(f"{path}: {len(content) / 1e6:.1f} MB. Read it before you pass it on; open index.html in it with a browser.")
    return OK
