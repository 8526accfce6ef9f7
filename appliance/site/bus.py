"""The port through which devices of a site tell each other something, and the names of what they tell."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import quote


class Bus(Protocol):
    """Carries messages to whoever wants them now; nothing is kept for later."""

    @property
    def problem(self) -> str | None:
        """Why nothing is carried now; None: it is."""

    def publish(self, subject: str, message: bytes) -> None:
        """Send a message. Returns at once; drops it while the bus is away."""

    def want(self, subjects: frozenset[str]) -> None:
        """Take these subjects from now on, and no others. Returns at once."""


class Receiver(Protocol):
    """Gets what a bus carries. Its methods return at once and never raise."""

    def receive(self, subject: str, message: bytes) -> None:
        """Take a message of another device."""

    def joined(self) -> None:
        """The bus is there, for the first time or again: what was sent lately may be lost, in both directions."""


class Subjects:
    """Subjects under the name of a site, which separates sites that share a bus."""

    def __init__(self, site: str) -> None:
        self.presence = f"{site}.presence"
        self.all_results = f"{site}.results.>"
        self._findings = f"{site}.findings."
        self._results = f"{site}.results."

    def results_of(self, camera: str) -> str:
        """Of one camera. A name may hold what separates or matches subjects, so it is escaped."""
        return self._results + quote(camera, safe="").replace(".", "%2E")

    def findings_of(self, device: str) -> str:
        """Of one device, for a hub. The name is escaped like a camera's."""
        return self._findings + quote(device, safe="").replace(".", "%2E")
