#!/usr/bin/env -S python3 -I
"""What a box does before its first frame: gets an identity of its own, and takes what was put on its boot partition.

Rules of this file:
- The system's own Python and nothing else: it runs at each boot, before anything of ours is known to be good.
- Nothing is done twice: only a box that has no name or keys of its own gets them.
- A file is taken once. What was taken is overwritten and removed, because it may hold a password and the card may be
  read by anybody. (A flash card may keep an old copy of a sector; who fears that gives the box a new card.)
- A file that cannot be used stays, with a `.error.txt` beside it, and stops nothing else.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

BOOT = ("boot/firmware", "boot")
DEFAULT_NAMES = ("", "localhost", "debian", "raspberrypi", "ubuntu", "nvidia-desktop", "tegra-ubuntu")
APPLIANCE = "opt/appliance/current/venv/bin/appliance"


class Unusable(Exception):
    """What is wrong with a file that somebody put there, in words for them."""


def main(root: Path = Path("/")) -> int:
    for line in (*identity(root), *taken(root)):
        print(line)
    return 0


def identity(root: Path) -> Iterator[str]:
    """A host name and keys that no other box has; systemd has made the machine's id by now."""
    machine = read(root / "etc/machine-id").strip()
    if read(root / "etc/hostname").strip() in DEFAULT_NAMES and machine:
        name = f"appliance-{machine[-6:]}"
        write(root / "etc/hostname", f"{name}\n", 0o644)
        hosts = root / "etc/hosts"
        others = [line for line in read(hosts).splitlines() if not line.startswith("127.0.1.1")]
        write(hosts, "\n".join([*others, f"127.0.1.1\t{name}", ""]), 0o644)
        if root == Path("/"):
            subprocess.run(["hostname", name], check=False)
        yield f"this box is now called {name}"
    ssh = root / "etc/ssh"
    if (root / "usr/sbin/sshd").exists() and not any(ssh.glob("ssh_host_*_key")):
        where = ["-f", str(root)] if root != Path("/") else []
        subprocess.run(["ssh-keygen", "-A", *where], check=True, stdout=subprocess.DEVNULL)
        yield "made the keys by which others know this box over SSH"


def taken(root: Path) -> Iterator[str]:
    """What lies on the boot partition for us."""
    readers: dict[str, Callable[[Path, Path], str]] = {"appliance.toml": settings, "appliance-wifi.txt": wifi}
    for name, reader in readers.items():
        path = next((root / folder / name for folder in BOOT if (root / folder / name).is_file()), None)
        if path is None:
            continue
        beside = path.with_name(f"{name}.error.txt")
        try:
            yield reader(path, root)
        except Unusable as error:
            beside.write_text(f"{error}\n", encoding="utf-8")  # plainly: a FAT partition knows no permissions
            yield f"<3>{name} on the boot partition cannot be used: {error}"
        else:
            wipe(path)
            beside.unlink(missing_ok=True)


def settings(path: Path, root: Path) -> str:
    """Take the settings, if the appliance itself finds them good."""
    check = subprocess.run([str(root / APPLIANCE), "config", "check", str(path)], capture_output=True, text=True)
    if check.returncode:
        raise Unusable(check.stderr.strip().removeprefix("appliance: ") or "`appliance config check` failed")
    target = root / "etc/appliance/appliance.toml"
    group = target.parent.stat().st_gid
    write(target, path.read_text(encoding="utf-8"), 0o640, group)
    return f"took the settings from {path}"


def wifi(path: Path, root: Path) -> str:
    """Hand `ssid=`, `password=` and `country=` to whatever manages the network here."""
    given = dict(line.partition("=")[::2] for line in path.read_text(encoding="utf-8-sig").splitlines() if "=" in line)
    given = {key.strip().lower(): value.strip() for key, value in given.items()}
    ssid, password, country = (given.get(key, "") for key in ("ssid", "password", "country"))
    if not 1 <= len(ssid.encode()) <= 32:
        raise Unusable("it needs a line ssid=NAME of 1 to 32 bytes")
    if not 8 <= len(password) <= 63 or not password.isascii():
        raise Unusable("it needs a line password=… of 8 to 63 plain characters")
    if country and not re.fullmatch(r"[A-Z]{2}", country):
        raise Unusable(f"country={country} is not a code of two capital letters, such as DE")
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
        raise Unusable("this box has neither NetworkManager nor netplan; set Wi-Fi up by hand")
    if country:
        write(root / "etc/modprobe.d/appliance-wifi.conf", f"options cfg80211 ieee80211_regdom={country}\n", 0o644)
    return f"took the Wi-Fi settings for {ssid}"


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
    """The form that keeps any name whole, whatever signs are in it."""
    return "".join(f"{byte};" for byte in ssid.encode())


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def write(path: Path, text: str, mode: int, group: int = -1) -> None:
    """The whole file or the one before it, also when the power goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fchmod(file.fileno(), mode)
        if group >= 0 and os.geteuid() == 0:
            os.fchown(file.fileno(), 0, group)
        os.fsync(file.fileno())
    beside.replace(path)


def wipe(path: Path) -> None:
    """Overwrite and remove."""
    with path.open("r+b") as file:
        file.write(b"\0" * path.stat().st_size)
        file.flush()
        os.fsync(file.fileno())
    path.unlink()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit("usage: at_boot.py (as root, at each boot; it changes the machine's name, keys and settings)")
    sys.exit(main())
