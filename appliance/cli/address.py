"""`appliance address`."""

from __future__ import annotations

import argparse
from typing import Any

from appliance.cli.arguments import FAILED, OK, add_command, add_settings, complain, settings_of


def add(commands: Any) -> None:
    """Add the command."""
    address = add_command(commands, "address", _address, "print the URLs of this device; exit code 1 if it is offline")
    add_settings(address)
    address.add_argument("--qr", action="store_true", help="also print the first URL as a QR code")


def _address(arguments: argparse.Namespace) -> int:
    from appliance.commands import addresses, qr_code

    device = addresses.find(settings_of(arguments))
    if not device.urls:
        return complain("no network address. Check the network cable or the Wi-Fi, and server.host", FAILED)
    print(qr_code.urls_with_qr_code(device.urls, device.certificate) if arguments.qr else "\n".join(device.urls))
    return OK
