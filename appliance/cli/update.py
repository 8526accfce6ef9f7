"""`appliance update`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from typing import Any

from appliance.cli.arguments import FAILED, OK, add_command, add_settings, complain, settings_of

_SOURCE = "https:// address, folder or file of a repository (default: update.source)"
_DOWNGRADE = "also a release that is older than one that was in use; it may have known holes"
_INSTALL = "appliance-update-install.service"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    check = add_command(commands, "check", _check, "look for a newer release")
    install = add_command(commands, "install", _install, "fetch, verify and install a release, and put it on trial")
    for one in (check, install):
        one.add_argument("source", nargs="?", default="", metavar="URL|DIR|FILE", help=_SOURCE)
    install.add_argument("--allow-downgrade", action="store_true", help=_DOWNGRADE)
    status = add_command(commands, "status", _status, "show what is in use, on trial, undone and available")
    status.add_argument("--json", action="store_true", help="print names of releases as JSON")
    add_command(commands, "commit", _commit, "keep the release on trial without waiting")
    add_command(commands, "rollback", _rollback, "go back to the release before the one in use")
    # For the units and for the commands above; each runs with no more rights than it needs.
    for name, function in (("fetch", _fetch), ("apply", _apply), ("watch", _watch), ("warm", _warm)):
        inner = commands.add_parser(name)
        inner.set_defaults(command=function)
        inner.add_argument("--source", default="")
        inner.add_argument("--channel", default="")
        inner.add_argument("--allow-downgrade", action="store_true")
        inner.add_argument("--for", dest="purpose", choices=("check", "install", "look", "stage"), default="stage")
        add_settings(inner)
    for name in ("check", "install"):
        add_settings(commands.choices[name])


def _places() -> Any:
    from appliance.update.places import UpdatePlaces

    return UpdatePlaces()


def _check(arguments: argparse.Namespace) -> int:
    return _unprivileged(arguments, "--for=look")


def _unprivileged(arguments: argparse.Namespace, *more: str) -> int:
    """Fetch with the rights of the updates' account. Its settings come as flags: it may not read the file."""
    from appliance.commands import updates

    if os.geteuid() != 0:
        return complain("updates need root: use sudo", FAILED)
    update = settings_of(arguments).update
    source = arguments.source or update.source
    path = os.path.abspath(source) if source and not source.startswith("https://") else source
    command = ["fetch", f"--source={path}", f"--channel={update.channel}", *more]
    return updates.as_unprivileged(command, update.proxy)


def _install(arguments: argparse.Namespace) -> int:
    from appliance.commands import updates
    from appliance.update import last_check, unpack

    places = _places()
    more = ["--allow-downgrade"] if arguments.allow_downgrade else []
    code = _unprivileged(arguments, *more)
    if code != OK:
        return code
    staged = last_check.read(places.last_check).staged
    if arguments.allow_downgrade:
        unpack.allow_downgrade(places, staged)
    updates.request(places, staged)
    print(f"installing {staged}; this takes a minute")
    if subprocess.run(["systemctl", "start", _INSTALL]).returncode:
        subprocess.run(["journalctl", "-u", _INSTALL, "-n", "5", "-o", "cat", "--no-pager"])
        return complain(updates.why_not_on_trial(places, staged), FAILED)
    print(f"{staged} is on trial. It is kept if it stays well, otherwise undone. See: appliance update status")
    return OK


def _fetch(arguments: argparse.Namespace) -> int:
    from appliance.commands import updates

    settings, places = settings_of(arguments), _places()
    if arguments.channel:
        settings = updates.with_channel(settings, arguments.channel)
    if arguments.purpose == "check":  # the timer
        if settings.update.source:
            updates.fetch_by_itself(settings, places, print)
        return OK
    if arguments.purpose == "look":
        found = updates.check(settings, places, arguments.source)
        assert found.offer is not None  # or check has raised
        for_us = "" if found.for_this_device else ", not for this device now: see `appliance update status`"
        print(f"{found.offer.version}: {found.offer.notes or found.offer.name}{for_us}")
        return OK
    offer = updates.fetch(settings, places, arguments.source, print, downgrade=arguments.allow_downgrade)
    print(f"{offer.name} is complete and signed by the operator")
    if arguments.purpose == "install":  # a person, through the service
        updates.request(places, offer.name)
    return OK


def _apply(arguments: argparse.Namespace) -> int:
    from appliance.commands import updates

    offer = updates.install_requested(_places())
    print(f"{offer.name} is on trial")
    return OK


def _watch(arguments: argparse.Namespace) -> int:
    from appliance.commands import updates

    judgement = updates.watch(settings_of(arguments), _places())
    print(f"{judgement.verdict.value}: {judgement.why or 'it is as well as the release before'}")
    return OK


def _warm(arguments: argparse.Namespace) -> int:
    from appliance.commands import updates

    print(updates.compile_networks(settings_of(arguments)))
    return OK


def _status(arguments: argparse.Namespace) -> int:
    from appliance.commands import updates

    if arguments.json:
        print(json.dumps(updates.status_report(_places()), indent=1))
        return OK
    for line in updates.status(_places()):
        print(line)
    return OK


def _commit(arguments: argparse.Namespace) -> int:
    from appliance.update import guard_state, switching

    if os.geteuid() != 0:
        return complain("this needs root: use sudo", FAILED)
    switching.keep()
    print(f"{guard_state.read(_places().state).committed} is kept")
    return OK


def _rollback(arguments: argparse.Namespace) -> int:
    from appliance.update import guard_state, switching

    if os.geteuid() != 0:
        return complain("this needs root: use sudo", FAILED)
    switching.run(str(switching.GUARD), "rollback", guard_state.BY_A_PERSON)
    switching.run("systemctl", "restart", "appliance.service")
    print(f"{guard_state.read(_places().state).committed} is in use again")
    return OK
