"""`appliance health`."""

from __future__ import annotations

import argparse
import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from typing import Any

from appliance.cli.arguments import FAILED, OK, USAGE, add_command, complain, printable, running_service
from appliance.errors import ApplianceError

_EVERY_S = 2.0
_TIMEOUT_S = 10.0
_MOST_BYTES = 5_000_000
_CLEAR = "\x1b[H\x1b[2J"
_FAILURES = (
    ApplianceError, OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError, RecursionError
)  # fmt: skip
_NO_DEVICE = "no answer from a device"


def add(commands: Any) -> None:
    """Add the command."""
    health = add_command(commands, "health", _health, "show the state of the device; exit code 1 if it is critical")
    health.add_argument("--watch", action="store_true", help="show it again every two seconds, until Ctrl-C")
    health.add_argument("--to", metavar="URL", default="", help="another device, for example https://device:8080")
    health.add_argument("--json", action="store_true", help="print the JSON of /health")


def _health(arguments: argparse.Namespace) -> int:
    from appliance.web.health_text import of_payload

    if arguments.to and not arguments.to.startswith(("http://", "https://")):
        return complain(f"--to {arguments.to}: invalid URL. Write it as https://device:8080", USAGE)
    while True:
        try:
            payload = json.loads(_from(arguments.to) if arguments.to else running_service().report("health.json"))
            text = json.dumps(payload, indent=1) + "\n" if arguments.json else printable(of_payload(payload))
            code = FAILED if payload["status"] == "critical" else OK
        except _FAILURES as error:
            text, code = f"{arguments.to}: {_reason(error)}" if arguments.to else str(error), FAILED
            if not arguments.watch:
                return complain(text, code)
        if not arguments.watch:
            print(text, end="")
            return code
        print(f"{_CLEAR}{text}", flush=True)
        time.sleep(_EVERY_S)


def _from(url: str) -> bytes:
    request = urllib.request.Request(f"{url.rstrip('/')}/health", headers={"Accept": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
            return bytes(response.read(_MOST_BYTES))
    except urllib.error.HTTPError as error:  # 503: critical
        with error:
            return error.read(_MOST_BYTES)


def _reason(error: Exception) -> str:
    """What is wrong with the address of the other device, or with what is there, and what to do."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "its certificate is not trusted here. Run `sudo appliance health` on the device itself"
    if isinstance(cause, ssl.SSLError):
        return f"{_NO_DEVICE}: no TLS there. Try http:// in place of https://"
    if isinstance(cause, OSError):
        return f"{_NO_DEVICE}: {cause.strerror or cause}. Check the address and the port, and that the service runs"
    if isinstance(cause, (http.client.InvalidURL, UnicodeError)) or cause == "no host given":
        return "invalid URL. Write it as https://device:8080"
    return f"{_NO_DEVICE}: another program answers there. Check the address and the port"
