"""The command line: arguments in, exit codes out.

Each file here is a command, or a few of one kind. `EXIT_CODES` says what each code means; docs/operations.md says what
to do.
"""

from __future__ import annotations

import argparse
import sys

from appliance import __version__
from appliance.cli import bench, camera, detect, device, governor, model, serve, settings
from appliance.cli.arguments import EXIT_CODES, FAILED, NO_MODEL, OK, USAGE, complain
from appliance.errors import ApplianceError, ConfigError, ModelError

__all__ = ["EXIT_CODES", "main"]


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except ConfigError as error:
        return complain(error, USAGE)
    except ModelError as error:
        hint = "" if error.code == "model_fetch_failed" else ". Run `appliance model fetch --force`, or set model.name"
        return complain(f"{error}{hint}", NO_MODEL)
    except ApplianceError as error:
        return complain(error, FAILED)
    except KeyboardInterrupt:
        return OK
    except BrokenPipeError:
        sys.stderr.close()
        return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="appliance", description="Cameras push frames, the box says what it sees.")
    parser.add_argument("--version", action="version", version=f"appliance {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for one in (serve, camera, detect, bench, device):
        one.add(commands)
    settings.add(commands.add_parser("config", help="show or check the settings"))
    governor.add(commands.add_parser("governor", help="show or hold how much the running service takes on"))
    model.add(commands.add_parser("model", help="what networks there are, and which one is in use"))
    return parser
