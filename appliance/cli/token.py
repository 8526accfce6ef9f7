"""`appliance token …` and `appliance audit`: who may use this device, and who did what.

The running service makes the changes, so that they hold at once. If none runs, the file with the tokens is changed.
"""

from __future__ import annotations

import argparse
import datetime
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from appliance.cli.arguments import OK, add_command, add_settings, printable, running_service, settings_of

if TYPE_CHECKING:
    from appliance.control.client import Control
    from appliance.identity.tokens import TokenStore
    from appliance.settings.schema import Settings

_ROLES = {
    "operator": "everything",
    "viewer": "the page, pictures and detections",
    "camera": "push frames, under the token's name only",
    "integration": "the HTTP API for detection, and /health",
    "metrics": "/metrics",
}

_INSTALLED = Path("/var/lib/appliance")

_Done = TypeVar("_Done")


def add(token: argparse.ArgumentParser) -> None:
    """Add the commands of `appliance token`."""
    commands = token.add_subparsers(required=True, metavar="COMMAND")
    new = add_command(commands, "add", _add, "make a token and print it; it is shown only once")
    new.add_argument("name", metavar="NAME", help="who uses it; for a camera, its camera name")
    roles = "; ".join(f"{role}: {what}" for role, what in _ROLES.items())
    new.add_argument("--role", required=True, choices=tuple(_ROLES), help=roles)
    new.add_argument("--qr", action="store_true", help="also print it as a QR code")
    rotate = add_command(commands, "rotate", _rotate, "replace a token's secret; the former one is void at once")
    rotate.add_argument("name", metavar="NAME")
    rotate.add_argument("--qr", action="store_true", help="also print it as a QR code")
    revoke = add_command(commands, "revoke", _revoke, "remove a token and end its connections")
    revoke.add_argument("name", metavar="NAME")
    listing = add_command(commands, "list", _list, "list all tokens, and cameras that wait for approval")
    for one in (new, rotate, revoke, listing):
        add_settings(one)
    for word, function, help_ in (
        ("approve", _approve, "approve a camera that waits for it"),
        ("refuse", _refuse, "refuse a camera that waits for approval"),
    ):
        command = add_command(commands, word, function, help_)
        command.add_argument("name", metavar="NAME")
        command.add_argument("code", nargs="?", default="", metavar="CODE", help="what the camera shows")


def add_audit(commands: Any) -> None:
    """Add `appliance audit`."""
    add_command(commands, "audit", _audit, "print who did what since the service started, the newest first")


def _add(arguments: argparse.Namespace) -> int:
    from appliance.identity.tokens import role_of

    role = role_of(arguments.role)

    def in_file(store: TokenStore) -> tuple[str, str]:
        made = store.add(arguments.name, role)
        return made.record.name, made.token

    def in_service(control: Control) -> tuple[str, str]:
        made = control.add_token(arguments.name, arguments.role)
        return made.name, made.token

    return _print_token(*_change(arguments, in_service, in_file), arguments.qr)


def _rotate(arguments: argparse.Namespace) -> int:
    def in_file(store: TokenStore) -> tuple[str, str]:
        made = store.rotate(arguments.name)
        return made.record.name, made.token

    def in_service(control: Control) -> tuple[str, str]:
        made = control.rotate_token(arguments.name)
        return made.name, made.token

    return _print_token(*_change(arguments, in_service, in_file), arguments.qr)


def _revoke(arguments: argparse.Namespace) -> int:
    name = _change(
        arguments,
        lambda control: control.revoke_token(arguments.name).name,
        lambda store: store.revoke(arguments.name).name,
    )
    print(printable(f"The token of '{name}' is revoked; its connections are closed."))
    return OK


def _list(arguments: argparse.Namespace) -> int:
    from appliance.control.client import NoService

    lines = _change(
        arguments,
        lambda control: [(one.name, one.role, one.made_at) for one in control.tokens().tokens],
        lambda store: [(one.name, one.role.value, one.made_at) for one in store.records],
    )
    try:
        waiting = running_service().pairings().waiting
    except NoService:
        waiting = ()
    for name, role, made_at in sorted(lines):
        made = datetime.datetime.fromtimestamp(made_at, datetime.timezone.utc).strftime("%Y-%m-%d")
        print(printable(f"{role:<12} {made}  {name}"))
    if not lines:
        print("No tokens. Make one: appliance token add NAME --role operator")
    for one in waiting:
        print(printable(f"waits for approval with the code {one.code}, from {one.address}: {one.name}"))
    return OK


def _approve(arguments: argparse.Namespace) -> int:
    line = running_service().approve(arguments.name, arguments.code)
    print(printable(f"Camera '{line.name}' is approved; it connects within seconds."))
    return OK


def _refuse(arguments: argparse.Namespace) -> int:
    line = running_service().refuse(arguments.name, arguments.code)
    print(printable(f"Camera '{line.name}' with the code {line.code} is refused. It may ask again."))
    return OK


def _audit(arguments: argparse.Namespace) -> int:
    entries = running_service().audit().entries
    for one in entries:
        when = datetime.datetime.fromtimestamp(one.wall_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        fields = "".join(f" {name}={value}" for name, value in one.fields.items())
        outcome = "" if one.ok else " (failed)"
        print(
            printable(
                f"{when}  {one.who}{f' from {one.address}' if one.address else ''}: {one.action}{outcome}{fields}"
            )
        )
    if not entries:
        print("Nothing since the service started. Older entries: journalctl -u appliance | grep 'audit:'")
    return OK


def _change(
    arguments: argparse.Namespace, in_service: Callable[[Control], _Done], in_file: Callable[[TokenStore], _Done]
) -> _Done:
    """Ask the running service, or change the file if none runs. Raises TokenError, NoService."""
    from appliance.control.client import NoService
    from appliance.identity.tokens import FILE, TokenStore

    try:
        return in_service(running_service())
    except NoService as error:
        if error.code != "not_running":
            raise
    return in_file(TokenStore(_folder(settings_of(arguments)) / FILE))


def _folder(settings: Settings) -> Path:
    """The state folder of the service: of the installed one, if root asks."""
    from appliance.device import state

    if settings.state.dir:
        return Path(settings.state.dir)
    if os.geteuid() == 0 and _INSTALLED.is_dir() and "STATE_DIRECTORY" not in os.environ:
        return _INSTALLED
    return state.default_dir(os.environ)


def _print_token(name: str, token: str, qr: bool) -> int:
    from appliance.commands import qr_code

    print(f"Token of '{printable(name)}', shown only this once:")
    print(f"\n    {token}\n")
    if qr:
        print("\n".join(qr_code.qr_code(token)))
    return OK
