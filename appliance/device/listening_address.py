"""Where the running service listens: a file from which the device's other programs read it.

systemd's `appliance.socket` decides that, not `server.port`, and a person may have edited it. So it is certain only
while the service runs; systemd removes the file's folder with the service. `systemd/libexec/boot-check` reads it too.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance import files

NAME = "address"
FOLDER = "run/appliance"
"""systemd's RuntimeDirectory= of the service, relative to the root."""
PORT = 8080
"""Of `appliance.socket` as it is installed."""
_MOST_BYTES = 100


@dataclass(frozen=True, slots=True)
class ListeningAddress:
    """An IP address, such as `::` for all of them, and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def of_sockets(sockets: Sequence[socket.socket]) -> ListeningAddress | None:
    """The address of the first TCP socket that programs of this device reach on loopback, else of the first one."""
    names = [one.getsockname() for one in sockets if one.family in (socket.AF_INET, socket.AF_INET6)]
    known = [ListeningAddress(str(name[0]), int(name[1])) for name in names]
    local = [one for one in known if _on_loopback(one.host)]
    return next(iter([*local, *known]), None)


def _on_loopback(host: str) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    return address.is_unspecified or address.is_loopback


def write(folder: Path, address: ListeningAddress) -> None:
    """Raises OSError."""
    files.write(folder / NAME, f"{address}\n".encode(), 0o644)  # every account may read it


def remove(folder: Path) -> None:
    """Raises OSError."""
    (folder / NAME).unlink(missing_ok=True)


def read(root: Path = Path("/")) -> ListeningAddress | None:
    """Where the service of this device listens; None: it does not run, or its release writes no file."""
    try:
        # The folder belongs to the service, which may have been taken over.
        with files.open_plain(root / FOLDER / NAME, links=False) as file:
            host, _, port = file.read(_MOST_BYTES).decode("ascii").strip().rpartition(":")
        host = host.strip("[]")
        ipaddress.ip_address(host)
        return ListeningAddress(host, int(port)) if 0 < int(port) < 65_536 else None
    except (OSError, ValueError):
        return None


def local_url(root: Path = Path("/")) -> str:
    """The service's URL for programs of this device, which looks for it again each time."""
    address = read(root)
    return f"http://127.0.0.1:{address.port if address else PORT}"
