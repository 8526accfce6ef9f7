"""Results that are sent again because the bus may have lost them, and recognized by who has them already."""

from __future__ import annotations

from collections import OrderedDict, deque

MOST_KEPT = 1000
"""Of one device: 10 s of 100 results a second."""
_MOST_BYTES = 4_000_000
_MOST_KNOWN = 20_000

Message = tuple[str, bytes]
"""A subject and an encoded message."""


class SentLately:
    """What this device has sent within the last `keep_s`, and what of it is to be sent again.

    Bounded in number and bytes: the oldest are forgotten first.
    """

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._sent: deque[tuple[float, Message]] = deque()
        self._bytes = 0
        self._again: deque[Message] = deque(maxlen=MOST_KEPT)
        self._newer = 0
        """Messages that have joined `_again` since something was taken from it."""

    def __bool__(self) -> bool:
        """Whether anything is to be sent again."""
        return bool(self._again)

    def keep(self, message: Message, now_s: float) -> bool:
        """Remember a message. True: it is to be sent now; False: it waits behind those that are sent again."""
        self._sent.append((now_s, message))
        self._bytes += len(message[1])
        self._forget(now_s)
        if self._again:
            self._again.append(message)
            self._newer += 1
            return False
        return True

    def send_again(self, now_s: float) -> None:
        """Send all of it again, from the oldest on."""
        self._forget(now_s)
        self._again, self._newer = deque((message for _, message in self._sent), maxlen=MOST_KEPT), 0

    def take(self, most: int) -> list[Message]:
        """The next messages: as many as have come meanwhile, and `most` more, so that the line ends at any rate."""
        count, self._newer = min(most + self._newer, len(self._again)), 0
        return [self._again.popleft() for _ in range(count)]

    def _forget(self, now_s: float) -> None:
        while self._sent and (
            self._sent[0][0] < now_s - self._keep_s or len(self._sent) > MOST_KEPT or self._bytes > _MOST_BYTES
        ):
            self._bytes -= len(self._sent.popleft()[1][1])


class Repeats:
    """Recognizes results that have come before, for `keep_s`."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._known: OrderedDict[tuple[tuple[str, ...], float], float] = OrderedDict()

    def is_new(self, whose: tuple[str, ...], sent_s: float, now_s: float) -> bool:
        """Whether this result has not come before. `sent_s`: when it was published, by the clock of `whose`."""
        key = (whose, sent_s)
        if key in self._known:
            return False
        self._known[key] = now_s
        while len(self._known) > _MOST_KNOWN or next(iter(self._known.values())) < now_s - self._keep_s:
            self._known.popitem(last=False)
        return True
