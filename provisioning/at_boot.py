#!/usr/bin/env -S python3 -I
"""Prepare the device at boot: give it its own host name and SSH keys, and apply files from the boot partition.

`at_boot.py first-start-file` writes the operator's first token to that partition, and wipes it once it has been used.

Rules of this file:
- It uses the system's Python only: it runs at each boot, before any release is known to work.
- It does nothing twice: a device that already has its own name or keys keeps them.
- It applies each file once, then overwrites and removes it: the file may contain a password, and anybody may read the
  card. (A flash card may keep an old copy of an overwritten sector; replace the card if that matters.)
- An invalid file stays, with the reason in a `.error.txt` file next to it. The Wi-Fi password is removed from it
  whatever happens.
- Each step is tried by itself: a step that fails, on a full or read-only partition too, does not stop the others.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

BOOT = ("boot/firmware", "boot")
DEFAULT_NAMES = ("", "localhost", "debian", "raspberrypi", "ubuntu", "nvidia-desktop", "tegra-ubuntu")
FIRST_START = "appliance-first-start.txt"
TOKEN = "run/issue.d/.token"
"""The operator's first token, until it is used; the unit of the console copies it there."""
CONSOLE = "run/issue.d/appliance.issue"
"""What the console shows: the address, also as a QR code."""
APPLIANCE = "opt/appliance/current/venv/bin/appliance"
CHECK_S = 40.0
"""For the check of the settings: systemd ends this program after 60 s, and the Wi-Fi comes after them."""


T = TypeVar("T")


class Unusable(Exception):
    """A file on the boot partition is invalid; the message is written for the person who put it there."""


def main(root: Path = Path("/")) -> int:
    steps: dict[str, Callable[[Path], Iterator[str]]] = {"the host name": host_name, "the SSH host keys": ssh_keys}
    failed = 0
    for name, step in (steps | {name: partial(apply_file, name) for name in READERS}).items():
        try:
            for line in step(root):
                print(line, flush=True)
        except (OSError, subprocess.SubprocessError, UnicodeError) as error:
            print(f"<3>cannot set up {name}: {error}. It is tried again at the next boot", flush=True)
            failed = 1
    return failed


def host_name(root: Path) -> Iterator[str]:
    """Create a unique host name where there is none. systemd has set the machine id by now."""
    machine = read(root / "etc/machine-id").strip()
    if read(root / "etc/hostname").strip() in DEFAULT_NAMES and machine:
        name = f"appliance-{machine[-6:]}"
        hosts = root / "etc/hosts"
        others = [line for line in read(hosts).splitlines() if not line.startswith("127.0.1.1")]
        write(hosts, "\n".join([*others, f"127.0.1.1\t{name}", ""]), 0o644)
        write(root / "etc/hostname", f"{name}\n", 0o644)  # last: its old content makes the next boot try again
        if root == Path("/"):
            subprocess.run(["hostname", name], check=False)
        yield f"host name set to {name}"


def ssh_keys(root: Path) -> Iterator[str]:
    """Create SSH host keys where they are missing."""
    ssh = root / "etc/ssh"
    if (root / "usr/sbin/sshd").exists() and not any(ssh.glob("ssh_host_*_key")):
        where = ["-f", str(root)] if root != Path("/") else []
        subprocess.run(["ssh-keygen", "-A", *where], check=True, stdout=subprocess.DEVNULL)
        yield "created SSH host keys"


def apply_file(name: str, root: Path) -> Iterator[str]:
    """Apply a file of this name on the boot partition."""
    found = [root / folder / name for folder in BOOT if (root / folder / name).is_file()]
    if not found:
        return
    path, *others = found
    for other in others:
        yield from attempt(f"cannot remove {other}, which is not used", wipe, other)
    if is_wiped(path):  # the power was cut before it was removed
        yield from attempt(f"cannot remove {path}, which was applied", wipe, path)
        return
    error_file = path.with_name(f"{name}.error.txt")
    try:
        yield READERS[name](path, root)
    except (Unusable, OSError, UnicodeError) as error:
        yield f"<3>{name} on the boot partition is invalid: {error}"
        text = f"{error}\n"  # not write(): FAT has no permissions
        yield from attempt(f"cannot write {error_file}", partial(error_file.write_text, encoding="utf-8"), text)
        if READERS[name] is wifi:
            yield from attempt(f"cannot remove the Wi-Fi password from {path}", remove_password, path)
    else:
        yield from attempt(f"cannot remove {path}, which is applied again at the next boot", wipe, path)
        yield from attempt(f"cannot remove {error_file}", partial(Path.unlink, missing_ok=True), error_file)


def attempt(complaint: str, step: Callable[[T], object], given: T) -> Iterator[str]:
    """Do a step that others do not depend on; the complaint is printed if it fails."""
    try:
        step(given)
    except OSError as error:
        yield f"<3>{complaint}: {error.strerror or error}. Is the boot partition full or read-only?"


def settings(path: Path, root: Path) -> str:
    """Install the settings if `appliance config check` accepts them."""
    command = [str(root / APPLIANCE), "config", "check", str(path)]
    check = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_S)
    if check.returncode:
        raise Unusable(check.stderr.strip().removeprefix("appliance: ") or "`appliance config check` failed")
    target = root / "etc/appliance/appliance.toml"
    group = target.parent.stat().st_gid
    write(target, path.read_text(encoding="utf-8"), 0o640, group)
    return f"applied the settings from {path}"


def wifi(path: Path, root: Path) -> str:
    """Configure NetworkManager or netplan with `ssid=`, `password=` and `country=`."""
    given = dict(line.partition("=")[::2] for line in path.read_text(encoding="utf-8-sig").splitlines() if "=" in line)
    given = {key.strip().lower(): value.strip() for key, value in given.items()}
    ssid, password, country = (given.get(key, "") for key in ("ssid", "password", "country"))
    if not 1 <= len(ssid.encode()) <= 32:
        raise Unusable("ssid must be 1 to 32 bytes long; add a line ssid=NAME")
    if not 8 <= len(password) <= 63 or not password.isascii():
        raise Unusable("password must be 8 to 63 ASCII characters; add a line password=…")
    if country and not re.fullmatch(r"[A-Z]{2}", country):
        raise Unusable(f"country={country} is invalid; use a code of two capital letters, such as DE")
    manager = root / "etc/NetworkManager/system-connections"
    netplan = root / "etc/netplan"
    if manager.is_dir():
        write(manager / "appliance-wifi.nmconnection", _keyfile(ssid, password), 0o600)
    elif netplan.is_dir():
        access = {"access-points": {ssid: {"password": password}}, "dhcp4": True, "optional": True}
        if country:
            access["regulatory-domain"] = country
        # JSON is YAML.
        network = {"network": {"version": 2, "wifis": {"wlan0": access}}}
        write(netplan / "60-appliance-wifi.yaml", json.dumps(network, indent=1) + "\n", 0o600)
    else:
        raise Unusable("this device has neither NetworkManager nor netplan; set up Wi-Fi by hand")
    if country:
        write(root / "etc/modprobe.d/appliance-wifi.conf", f"options cfg80211 ieee80211_regdom={country}\n", 0o644)
    return f"applied the Wi-Fi settings for {ssid}"


READERS: dict[str, Callable[[Path, Path], str]] = {"appliance.toml": settings, "appliance-wifi.txt": wifi}


def _keyfile(ssid: str, password: str) -> str:
    def text(value: str) -> str:
        return value.replace("\\", "\\\\")

    return (
        "[connection]\nid=appliance-wifi\ntype=wifi\nautoconnect=true\n\n"
        f"[wifi]\nmode=infrastructure\nssid={_bytes_of(ssid)}\n\n"
        f"[wifi-security]\nkey-mgmt=wpa-psk\npsk={text(password)}\n\n"
        "[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n"
    )


def _bytes_of(ssid: str) -> str:
    """The SSID as a list of byte values, which preserves every character."""
    return "".join(f"{byte};" for byte in ssid.encode())


def first_start_file(root: Path = Path("/")) -> int:
    """Write the file with the operator's first token if there is one, otherwise wipe it. It changes nothing twice."""
    token = read(root / TOKEN).strip()
    into = readable_elsewhere(root) if re.fullmatch(r"[\w-]{16,200}", token, re.ASCII) else None
    for path in (root / folder / name for folder in BOOT for name in (FIRST_START, f".{FIRST_START}.new")):
        if path.is_file() and path.parent != into:
            problems = list(attempt(f"cannot remove {path}, whose token has been used", wipe, path))
            print(*(problems or [f"wiped {path}: the token has been used"]))
    if into is None:
        return 0
    text = (
        "The first token of this device's operator. Enter it on the device's page, or scan the code.\n"
        f"The device removes this file when the token has been used.\n\n{token}\n\n{read(root / CONSOLE)}"
    )
    path = into / FIRST_START
    if read(path) != text:
        new = into / f".{FIRST_START}.new"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            wipe(path)
        new.replace(path)
        print(f"the operator's first token is in {path}, until it is used")
    return 0


def readable_elsewhere(root: Path) -> Path | None:
    """The boot partition, if any computer can read it; None: it is a folder or a partition of this system only."""
    if (root / BOOT[0]).is_dir():
        return root / BOOT[0]
    mounts = (line.split() for line in read(root / "proc/self/mounts").splitlines())
    return root / BOOT[1] if any(len(mount) > 2 and mount[1:3] == ["/boot", "vfat"] for mount in mounts) else None


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def write(path: Path, text: str, mode: int, group: int = -1) -> None:
    """Replace a file atomically, so that a power cut leaves either the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fchmod(file.fileno(), mode)
        if group >= 0 and os.geteuid() == 0:
            os.fchown(file.fileno(), 0, group)
        os.fsync(file.fileno())
    temporary.replace(path)
    settle(path.parent)


def settle(folder: Path) -> None:
    """Wait until the names in a folder are on the disk. The boot partition is another file system."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def remove_password(path: Path) -> None:
    """Overwrite a Wi-Fi file, and keep its other lines, so that the person sees what to correct."""
    lines = path.read_bytes().splitlines()
    wipe(path)
    kept = [line for line in lines if line.partition(b"=")[0].strip().lower() in (b"ssid", b"country")]
    path.write_bytes(b"\n".join([*kept, b"password=", b""]))


def is_wiped(path: Path) -> bool:
    content = path.read_bytes()
    return bool(content) and not content.strip(b"\0")


def wipe(path: Path) -> None:
    """Overwrite a file with zeros, then remove it."""
    with path.open("r+b") as file:
        file.write(b"\0" * path.stat().st_size)
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    settle(path.parent)


if __name__ == "__main__":
    if sys.argv[1:] == ["first-start-file"]:
        sys.exit(first_start_file())
    if len(sys.argv) > 1:
        sys.exit("usage: at_boot.py [first-start-file] (root, at boot; it changes name, keys and settings)")
    sys.exit(main())
