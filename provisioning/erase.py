#!/usr/bin/env -S python3 -I
"""Erase what this device has stored about its site and its users: erase.py [--factory-reset | --requested].

Rules of this file:
- It uses the system's Python only: it must work when the release does not.
- It stops the service first and starts it again at the end, whatever happens in between.
- What the service has asked for stays asked for until it is done: after a power cut, or where systemd has ended this
  program, it goes on.
- Saved pictures come late: there may be thousands, and a slow card overwrites a few in a second. The settings come
  after them, because they say where the pictures are.
- Small files are overwritten before they are removed. Flash memory may keep old copies of overwritten sectors; destroy
  the card if that matters.
- Nothing outside these folders is touched. The service's own folders may contain anything if it was taken over, so
  links are removed, never followed.

Without an option: state, tokens, keys, saved pictures, caches, Wi-Fi. With --factory-reset also the settings,
credentials, cameras' passwords and the journal; the device is then as after its installation. `--requested`: what the
service has asked for in /var/lib/appliance/erase-requested.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

REQUEST = "var/lib/appliance/erase-requested"
APPLIANCE = "opt/appliance/current/venv/bin/appliance"
DATA = ("var/lib/appliance", "var/lib/appliance-camera", "var/lib/private/appliance-camera", "var/cache/appliance")
COPIES = ("opt/appliance/update/state-before-*", "opt/appliance/update/.state-copy", "var/lib/.appliance.*")
"""Copies of the state that an update keeps until it has ended."""
WIFI = (
    "etc/NetworkManager/system-connections/appliance-wifi.nmconnection",
    "etc/netplan/60-appliance-wifi.yaml",
    "etc/modprobe.d/appliance-wifi.conf",
    "boot/firmware/appliance-wifi.txt",
    "boot/firmware/appliance-wifi.txt.error.txt",
    "boot/appliance-wifi.txt",
    "boot/appliance-wifi.txt.error.txt",
    "boot/firmware/appliance-first-start.txt",
    "boot/appliance-first-start.txt",
    "run/issue.d/appliance.issue",
    "run/issue.d/.token",
)
SETTINGS = ("etc/appliance", "boot/firmware/appliance.toml", "boot/firmware/appliance.toml.error.txt",
            "boot/appliance.toml", "boot/appliance.toml.error.txt", "opt/appliance/models/active.json")  # fmt: skip
PICTURE = re.compile(r"\d{8,}_[\w.-]*\.(jpg|png|webp)")
MOST_OVERWRITTEN_BYTES = 16_000_000


def main(root: Path, *, factory_reset: bool, tried: Callable[[], None] = lambda: None) -> int:
    """Erase. `tried`: called after everything was tried, before the service starts again and may ask for more."""
    systemctl(root, "stop", "appliance.target", "appliance-camera@*")
    failures, whole = 0, True
    try:
        pictures = picture_folder(root)
        groups: list[tuple[str, Iterable[Path]]] = [
            ("state, tokens, keys and caches", [*contents(root, DATA), *copies(root)]),
            ("Wi-Fi", existing(root, WIFI)),
            ("saved pictures", saved_pictures(pictures)),
        ]
        if factory_reset:
            groups.append(("settings and credentials", [*contents(root, SETTINGS), *existing(root, SETTINGS)]))
        for what, paths in groups:
            failures += report(what, paths)
        if factory_reset:
            default_settings(root)
            forget_journal(root)
    except SystemExit:  # ended by systemd: it goes on at the next start
        whole = False
        raise
    finally:
        if whole:
            tried()
        systemctl(root, "start", "appliance.target")
    print(
        "<3>Not everything could be erased; see above." if failures else "Erased. Wi-Fi is off from the next boot on."
    )
    return 1 if failures else 0


def report(what: str, paths: Iterable[Path]) -> int:
    """Erase the paths; print what was done. Returns the number of failures."""
    done, failed = 0, 0
    for path in paths:
        try:
            erase(path)
            done += 1
        except OSError as error:
            failed += 1
            print(f"<3>cannot erase {path}: {error.strerror}")
    print(f"{what}: {done} erased" + (f", {failed} failed" if failed else ""))
    return failed


def erase(path: Path) -> None:
    """Remove a file, link or folder without following links. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        for folder, _, names in os.walk(path):
            for name in names:
                overwrite(Path(folder, name))
        shutil.rmtree(path)
    else:
        overwrite(path)
        path.unlink()


def overwrite(path: Path) -> None:
    """Overwrite a small regular file with zeros, if it is one and has no other name."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return  # a link, a socket or a pipe
    try:
        found = os.fstat(file)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_size <= MOST_OVERWRITTEN_BYTES:
            os.write(file, b"\0" * found.st_size)
            os.fsync(file)
    finally:
        os.close(file)


def contents(root: Path, folders: Iterable[str]) -> Iterator[Path]:
    """Everything in these folders, which themselves stay: systemd has set their owner."""
    for folder in folders:
        path = root / folder
        if path.is_dir() and not path.is_symlink():
            yield from sorted(one for one in path.iterdir() if one != root / REQUEST)


def copies(root: Path) -> list[Path]:
    return sorted(path for pattern in COPIES for path in root.glob(pattern))


def existing(root: Path, files: Iterable[str]) -> list[Path]:
    return [root / file for file in files if (root / file).is_file()]


def picture_folder(root: Path) -> Path | None:
    """`camera.save_dir`, as the settings give it; None: no pictures are saved, or the settings cannot be read."""
    if not (root / APPLIANCE).exists():
        return None
    shown = subprocess.run([str(root / APPLIANCE), "config", "show"], capture_output=True, text=True)
    match = re.search(r'^save_dir = "(.+)"$', shown.stdout, re.MULTILINE)
    return Path(match[1]) if match else None


def saved_pictures(folder: Path | None) -> list[Path]:
    """The pictures that the agent has saved: other files in the folder are somebody else's."""
    if folder is None or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if PICTURE.fullmatch(path.name))


def default_settings(root: Path) -> None:
    """Write the settings for this board, as the installer does."""
    program = root / APPLIANCE
    if not program.exists():
        return
    made = subprocess.run([str(program), "board", "--toml"], capture_output=True, text=True)
    if made.returncode:
        print(f"<3>no settings for this board: {made.stderr.strip()[-200:]}; the defaults apply")
        return
    target = root / "etc/appliance/appliance.toml"
    (root / "etc/appliance/credentials").mkdir(mode=0o700, parents=True, exist_ok=True)
    target.write_text(made.stdout, encoding="utf-8")
    target.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(target, 0, target.parent.stat().st_gid)


def forget_journal(root: Path) -> None:
    if root == Path("/") and shutil.which("journalctl"):
        subprocess.run(["journalctl", "--rotate"], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["journalctl", "--vacuum-time=1s"], check=False, stderr=subprocess.DEVNULL)


def systemctl(root: Path, *arguments: str) -> None:
    if root == Path("/") and Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", *arguments], check=False)


def requested(root: Path) -> str | None:
    """What the service has asked for; anything else is removed."""
    try:
        file = os.open(root / REQUEST, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        forget_request(root)
        return None
    with os.fdopen(file, "rb") as opened:
        text = opened.read(100).decode("ascii", "replace").strip()
    if text in ("erase", "factory-reset"):
        return text
    forget_request(root)
    return None


def forget_request(root: Path) -> None:
    (root / REQUEST).unlink(missing_ok=True)


def carry_out(root: Path) -> int:
    """Do what the service has asked for; the request is removed once it was tried as a whole."""
    wish = requested(root)
    if wish is None:
        print("erase.py: the service has asked for nothing that can be done", file=sys.stderr)
        return 1
    return main(root, factory_reset=wish == "factory-reset", tried=partial(forget_request, root))


def end(number: int, frame: object) -> None:
    """systemd ends this program: what must happen at the end does."""
    sys.exit(f"erase.py: ended by {signal.Signals(number).name} before everything was erased")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--factory-reset", action="store_true", help="also settings, credentials and the journal")
    how.add_argument("--requested", action="store_true", help="what the service has asked for")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("erase.py: must run as root; use sudo")
    signal.signal(signal.SIGTERM, end)
    sys.exit(carry_out(Path("/")) if options.requested else main(Path("/"), factory_reset=options.factory_reset))
