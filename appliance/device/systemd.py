"""The service manager: notifications (sd_notify(3)), watchdog and socket activation (sd_listen_fds(3)).

systemd is optional: without its environment variables, nothing is sent and no sockets are passed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from pathlib import Path

from appliance.errors import PortError
from appliance.ports import Notifier

log = logging.getLogger(__name__)

READY = "READY=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"

_FIRST_FD = 3
_MOST_UNSENT = 100


def status(text: str) -> str:
    """The status line of `systemctl status`."""
    return "STATUS=" + " ".join(text.split())


def more_time(seconds: float) -> str:
    """Extend the start timeout: the start is slow but making progress."""
    return f"EXTEND_TIMEOUT_USEC={seconds * 1e6:.0f}"


def reloading(now_s: float) -> str:
    """A reload started at this monotonic time; READY ends it."""
    return f"RELOADING=1\nMONOTONIC_USEC={now_s * 1e6:.0f}"


class SystemdNotifier:
    """Notifies systemd. Failures are logged and never end the service. `address`: NOTIFY_SOCKET.

    A service manager that has frozen, which systemd does when it crashes, leaves its socket full, and sd_notify would
    wait for it with Python's global lock. Messages for which there is no room are sent later, in order.
    """

    def __init__(self, address: str, send: Callable[[str], object]) -> None:
        self._path, self._send = _path(address), send
        self._unsent: deque[str] = deque(maxlen=_MOST_UNSENT)

    def notify(self, *assignments: str) -> None:
        self._unsent.append("\n".join(assignments))
        while self._unsent:
            if not _has_room(self._path):
                log.warning("systemd does not read notifications; the service goes on", extra={"kind": "notify"})
                return
            try:
                self._send(self._unsent.popleft())
            except OSError as error:
                log.warning("cannot notify systemd: %s", error, extra={"kind": "notify"})


class NoNotifier:
    """Does nothing: there is no service manager, as on a laptop or in a container."""

    def notify(self, *assignments: str) -> None: ...


def notifier(environ: Mapping[str, str] = os.environ) -> Notifier:
    """The notifier for systemd if it started this process; otherwise one that does nothing."""
    address = environ.get("NOTIFY_SOCKET")
    if not address:
        return NoNotifier()
    try:
        from systemd import daemon
    except ImportError:
        # With Type=notify, a service that never sends READY never starts. The protocol is a single datagram.
        return SystemdNotifier(address, partial(send_datagram, address))
    return SystemdNotifier(address, daemon.notify)


def send_datagram(address: str, message: str) -> None:
    """sd_notify(3) without its library. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(message.encode(), _path(address))


def _has_room(path: str) -> bool:
    """Whether a socket takes one more datagram now; True if there is no socket, which sending reports."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return True
        writable = select.poll()
        writable.register(probe, select.POLLOUT)
        return bool(writable.poll(0))


def _path(address: str) -> str:
    """A leading @ stands for an abstract socket."""
    return "\0" + address[1:] if address.startswith("@") else address


def watchdog_s(environ: Mapping[str, str] = os.environ, pid: int | None = None) -> float | None:
    """WatchdogSec= of this unit, s; None: no watchdog."""
    for_pid = environ.get("WATCHDOG_PID", "")
    if for_pid and for_pid != str(pid or os.getpid()):
        return None
    with contextlib.suppress(ValueError):
        return int(environ.get("WATCHDOG_USEC", "")) / 1e6 or None
    return None


def runtime_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """RuntimeDirectory= of this unit, which systemd removes when it stops; None: there is none."""
    first = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(first) if first else None


def passed_sockets(environ: MutableMapping[str, str] = os.environ, pid: int | None = None) -> list[socket.socket]:
    """The listening sockets that a .socket unit passes; they stay open while the service restarts.

    The variables are removed, so that child processes do not claim the sockets. Raises PortError for a socket that is
    not a TCP port.
    """
    names = {name: environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")}
    if names["LISTEN_PID"] != str(pid or os.getpid()) or not names["LISTEN_FDS"].isdigit():
        return []
    sockets = []
    for fd in range(_FIRST_FD, _FIRST_FD + int(names["LISTEN_FDS"])):
        try:
            os.set_inheritable(fd, False)
            passed = socket.socket(fileno=fd)
        except OSError as error:
            raise PortError(f"systemd passed an unusable socket: {error.strerror}") from None
        if passed.family not in (socket.AF_INET, socket.AF_INET6) or passed.type != socket.SOCK_STREAM:
            raise PortError("systemd passed a socket that is not a TCP port. Fix ListenStream= in appliance.socket")
        sockets.append(passed)
    return sockets
