"""`appliance address`."""

from __future__ import annotations

import argparse
import contextlib
import re
from pathlib import Path
from typing import Any

from appliance.cli.arguments import FAILED, OK, add_command, add_settings, complain, settings_of

_TOKEN = re.compile(r"[\w-]{16,200}", re.ASCII)
"""Nothing else: a console interprets backslashes and control characters."""
_OFFLINE = "no network address. Check the network cable or the Wi-Fi, and server.host"


def add(commands: Any) -> None:
    """Add the command."""
    address = add_command(commands, "address", _address, "print the URLs of this device; exit code 1 if it is offline")
    add_settings(address)
    address.add_argument("--qr", action="store_true", help="also print the first URL as a QR code")
    address.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="with --qr: the code signs in with the token in this file, if there is one",
    )


def _address(arguments: argparse.Namespace) -> int:
    from appliance.commands import addresses, qr_code

    device = addresses.find(settings_of(arguments))
    if not device.urls:
        if arguments.qr:  # for the console, which shows the output of this command until there is an address
            print(f"Appliance: {_OFFLINE}.\nThe address appears here once there is one.\n")
            return FAILED
        return complain(_OFFLINE, FAILED)
    if not arguments.qr:
        print("\n".join(device.urls))
        return OK
    token = token_in(arguments.token_file)
    print(qr_code.urls_with_qr_code(device.urls, device.certificate, token))
    return OK


def token_in(file: Path | None) -> str:
    """The operator's first token; empty once it has been used."""
    with contextlib.suppress(OSError, UnicodeError):
        token = file.read_text(encoding="ascii").strip() if file else ""
        return token if _TOKEN.fullmatch(token) else ""
    return ""
