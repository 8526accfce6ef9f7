"""`appliance backup` and `appliance restore`."""

from __future__ import annotations

import argparse
import getpass
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from appliance import __version__, files
from appliance.cli.arguments import (
    FAILED,
    OK,
    USAGE,
    add_command,
    add_settings,
    complain,
    config_path,
    confirmed,
    settings_of,
)
from appliance.health.words import counted

_REPLACED = "This device's settings, tokens, keys and history are replaced."
_LEAST_PASSPHRASE = 12
_MOST_PASSPHRASE_BYTES = 1000


def add(commands: Any) -> None:
    """Add both commands."""
    backup = add_command(
        commands,
        "backup",
        _backup,
        "write one encrypted file with settings, tokens, keys, history and the model in use",
    )
    backup.add_argument("file", nargs="?", metavar="FILE", help="default: appliance-HOST-DATE.age here")
    restore = add_command(commands, "restore", _restore, "put a backup onto this device, which then takes its place")
    restore.add_argument("file", type=Path, metavar="FILE")
    restore.add_argument("--yes", action="store_true", help="do not ask")
    for parser in (backup, restore):
        parser.add_argument(
            "--passphrase-file", type=Path, metavar="FILE", help="read the passphrase from the first line of this file"
        )
        add_settings(parser)


def _backup(arguments: argparse.Namespace) -> int:
    from appliance.commands import installed
    from appliance.commands.backup import places, sealed
    from appliance.device.board import board_name

    settings = settings_of(arguments)
    on_device = installed.is_device() and arguments.config is None
    if on_device and os.geteuid() != 0:
        return complain("a backup contains keys and passwords, which only root may read: use sudo", FAILED)
    where = places.of_device() if on_device else places.of_checkout(settings, config_path(arguments))
    passphrase = _passphrase(arguments, new=True)
    host = socket.gethostname().partition(".")[0]
    made_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    about = sealed.About(sealed.FORMAT, __version__, host, board_name() or "unknown", made_at, {})
    data, about = sealed.seal(places.content(where, settings.model.name), about, passphrase)
    path = Path(arguments.file or f"appliance-{host}-{time.strftime('%Y-%m-%d-%H%M')}.age")
    try:
        files.write(path, data, 0o600)
    except OSError as error:
        return complain(f"{path} cannot be written: {error.strerror}", FAILED)
    count = counted(len(about.files), "file", "files")
    print(f"{path}: {count}, {len(data) / 1e6:.1f} MB. It is worth nothing without the passphrase.")
    return OK


def _restore(arguments: argparse.Namespace) -> int:
    from appliance.commands import installed
    from appliance.commands.backup import places, restore, sealed
    from appliance.device.board import board_name
    from appliance.settings import loader

    on_device = installed.is_device() and arguments.config is None
    if on_device and os.geteuid() != 0:
        return complain("restoring needs root: use sudo", FAILED)
    try:
        data = files.read_plain(arguments.file, sealed.MOST_BYTES)
    except OSError as error:
        return complain(f"{arguments.file} cannot be read: {error.strerror}", USAGE)
    opened = sealed.unseal(data, _passphrase(arguments, new=False))
    where = places.of_device() if on_device else places.of_checkout(settings_of(arguments), config_path(arguments))
    restore.check(opened, where, lambda file: loader.load(file, {}))
    about = opened.about
    count = counted(len(about.files), "file", "files")
    print(f"made on {about.host} ({about.board}) at {about.made_at} by version {about.version}: {count}")
    if about.board != (board_name() or "unknown"):
        print("This is another kind of board. `appliance board` shows which settings suit it.")
    if not arguments.yes and not confirmed(_REPLACED, "restore"):
        return complain("nothing restored. To restore without a question, add --yes", USAGE)
    with restore.stopped_service(where, installed=on_device):
        for line in restore.put(opened, where):
            print(line)
    print("Restored. Do not let both devices run: they have the same tokens and the same certificate.")
    return OK


def _passphrase(arguments: argparse.Namespace, *, new: bool) -> str:
    """Raises BackupError passphrase_short or passphrase_wrong."""
    from appliance.commands.backup.sealed import BackupError

    if arguments.passphrase_file is not None:
        try:
            lines = files.read_plain(arguments.passphrase_file, _MOST_PASSPHRASE_BYTES).decode().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise BackupError(f"{arguments.passphrase_file} cannot be read: {reason}", "passphrase_short") from None
        passphrase = lines[0] if lines else ""
    elif sys.stdin.isatty():
        passphrase = getpass.getpass("Passphrase: ")
        if new and getpass.getpass("The same again: ") != passphrase:
            raise BackupError("the two passphrases differ. Run the command again", "passphrase_wrong")
    else:
        raise BackupError("there is no terminal to ask for the passphrase; use --passphrase-file", "passphrase_short")
    if new and len(passphrase) < _LEAST_PASSPHRASE:
        raise BackupError(f"the passphrase must have at least {_LEAST_PASSPHRASE} characters", "passphrase_short")
    return passphrase
