"""The service manager, when there is one: systemd's notifications through systemd-python."""

from __future__ import annotations

import logging
import os

from appliance.ports import Notifier

log = logging.getLogger(__name__)


class SystemdNotifier:
    """Speaks sd_notify(3)."""

    def __init__(self) -> None:
        from systemd import daemon

        self._notify = daemon.notify

    def ready(self, status: str) -> None:
        self._notify(f"READY=1\nSTATUS={status}")

    def stopping(self) -> None:
        self._notify("STOPPING=1")

    def status(self, text: str) -> None:
        self._notify(f"STATUS={text}")

    def alive(self) -> None:
        self._notify("WATCHDOG=1")


class NoNotifier:
    """Nobody to tell: a laptop, a container."""

    def ready(self, status: str) -> None: ...

    def stopping(self) -> None: ...

    def status(self, text: str) -> None: ...

    def alive(self) -> None: ...


def notifier() -> Notifier:
    """systemd's, if it started us and systemd-python is installed; else none."""
    if "NOTIFY_SOCKET" not in os.environ:
        return NoNotifier()
    try:
        return SystemdNotifier()
    except ImportError:
        log.warning("systemd started this service, but systemd-python is missing; install the extra 'systemd'")
        return NoNotifier()
