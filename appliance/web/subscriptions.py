"""Which clients follow which cameras, within limits.

A subscription to `EVERY` counts as one. Nothing here sends anything: the publisher asks who follows a camera.
"""

from __future__ import annotations

from collections.abc import Iterable

EVERY = "*"
MAX_SUBSCRIPTIONS = 1000
"""Cameras that one client may subscribe to."""
MAX_SUBSCRIPTIONS_IN_TOTAL = 20_000
"""Subscriptions of all clients together, about 10 MB: without it 2000 clients could fill a small device's memory."""


class Subscriptions:
    """The subscriptions of all clients, by client and by camera."""

    def __init__(self) -> None:
        self._of_client: dict[str, set[str]] = {}
        self._followers: dict[str, set[str]] = {}
        self._own_only: set[str] = set()
        """Clients that want nothing of other devices."""
        self._of_site: frozenset[str] | None = frozenset()
        """What `of_site` returns; None: it has changed."""
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def add(self, sid: str, cameras: Iterable[str], *, of_site: bool = True) -> bool:
        """Let this client follow these cameras. False if they exceed a limit; then nothing changes.

        `of_site` False: from now on it gets nothing of other devices.
        """
        known = self._of_client.get(sid, set())
        new = set(cameras) - known
        if len(known) + len(new) > MAX_SUBSCRIPTIONS or self._total + len(new) > MAX_SUBSCRIPTIONS_IN_TOTAL:
            return False
        self._total += len(new)
        self._of_site = None
        (self._own_only.discard if of_site else self._own_only.add)(sid)
        self._of_client.setdefault(sid, set()).update(new)
        for camera in new:
            self._followers.setdefault(camera, set()).add(sid)
        return True

    def remove(self, sid: str, cameras: Iterable[str]) -> None:
        """Let this client follow these cameras no longer."""
        known = self._of_client.get(sid, set())
        self._of_site = None
        for camera in known & set(cameras):
            self._total -= 1
            known.discard(camera)
            followers = self._followers[camera]
            followers.discard(sid)
            if not followers:
                del self._followers[camera]
        if not known:
            self._of_client.pop(sid, None)

    def leave(self, sid: str) -> None:
        """Forget a client."""
        self.remove(sid, list(self._of_client.get(sid, ())))
        self._own_only.discard(sid)

    def followers(self, camera: str) -> set[str]:
        """The clients that follow this camera."""
        return self._followers.get(camera, set()) | self._followers.get(EVERY, set())

    def followers_elsewhere(self, camera: str) -> set[str]:
        """The clients that follow this camera of another device."""
        return self.followers(camera) - self._own_only

    def is_followed(self, camera: str) -> bool:
        return camera in self._followers or EVERY in self._followers

    def of_site(self) -> frozenset[str]:
        """The cameras that are wanted also if another device has them; EVERY: all."""
        if self._of_site is None:
            self._of_site = frozenset(name for name, sids in self._followers.items() if sids - self._own_only)
        return self._of_site
