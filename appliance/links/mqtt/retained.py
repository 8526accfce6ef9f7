"""The retained messages that the broker should hold: the latest of each topic, sent when it has changed."""

from __future__ import annotations

from collections.abc import Iterable


class Retained:
    """Bounded by the number of topics: only the latest message of each is kept. An empty message removes a topic."""

    def __init__(self) -> None:
        self._wanted: dict[str, bytes] = {}
        self._before: dict[str, bytes] = {}
        """Messages to send once, before the wanted one of their topic."""
        self._changed: dict[str, None] = {}
        """Topics to send, in order."""

    def __len__(self) -> int:
        """Topics to send."""
        return len(self._changed)

    def __getitem__(self, topic: str) -> bytes:
        """The message to hold under a topic; empty: none."""
        return self._wanted.get(topic, b"")

    def want(self, topic: str, message: bytes, before: bytes | None = None) -> None:
        """Hold this message under the topic. `before`: another one to send first, once."""
        if before is not None:
            self._before[topic] = before
        if before is not None or self._wanted.get(topic) != message:
            self._wanted[topic] = message
            self._changed[topic] = None

    def remove(self, topics: Iterable[str]) -> None:
        """Remove these topics from the broker, whether or not they are known here."""
        for topic in topics:
            self._wanted[topic] = b""
            self._before.pop(topic, None)
            self._changed[topic] = None

    def send_again(self, prefix: str = "") -> None:
        """Send all topics with this prefix again: the broker, or a reader, may have lost them."""
        self._changed |= dict.fromkeys(topic for topic in self._wanted if topic.startswith(prefix))

    def take(self) -> tuple[str, bytes] | None:
        """Return the topic to send next with its message, as sent; None: nothing has changed."""
        if not self._changed:
            return None
        topic = next(iter(self._changed))
        if topic in self._before:
            return topic, self._before.pop(topic)
        del self._changed[topic]
        message = self._wanted[topic]
        if not message:
            del self._wanted[topic]
        return topic, message
