"""Which retained topics of this device a broker may hold, on disk: what a former name or prefix left can be removed.

Rules of this file:
- A topic is noted before, or at most a minute after, something is published under it, and stays until the broker has
  confirmed its removal.
- A record that another machine made is ignored: after a copied disk, that machine may still publish there.
- A folder that is unusable, or a damaged file, costs the record and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Set

import msgspec
from msgspec import Struct

from appliance import files
from appliance.device import state
from appliance.device.state import StateFolder
from appliance.ports import Clock

log = logging.getLogger(__name__)

NAME = "mqtt-topics.json"
_MOST_BYTES = 4_000_000
_MOST_GONE = 1000
"""Topics to remove that are remembered; a device has three of each of its 100 cameras."""
_SAVE_S = 60.0
"""Between two saves: cameras that come and go by the second must not wear the disk."""
_TOPIC = re.compile(r"[^+#\x00]{1,2000}")
_LOST = "topics of a former name stay at the MQTT broker"


class SavedTopics(Struct, frozen=True, kw_only=True):
    """The content of the file."""

    machine: str
    topics: frozenset[str]


class TopicRecord:
    """The topics that may hold something of this device. `machine`: tells machines apart. `folder`: None: not saved."""

    def __init__(self, folder: StateFolder | None, machine: str, clock: Clock) -> None:
        self._machine, self._clock = machine, clock
        self._path = folder.path / NAME if folder is not None and folder.path is not None else None
        saved = state.load(folder, NAME, _MOST_BYTES, read, unread=_LOST, damaged=f", and {_LOST}")
        self.known = saved is not None and saved.machine == machine
        """Whether there is a record of an earlier run."""
        self.topics = saved.topics if saved is not None and self.known else frozenset()
        self._saved, self._saved_s = self.topics if self.known else None, float("-inf")

    def hold(self, wanted: Set[str]) -> None:
        """Note what is published from now on. The others stay until they are removed."""
        gone = sorted(self.topics - wanted)[:_MOST_GONE]
        self.topics = frozenset(wanted).union(gone)

    def removed(self, topic: str) -> None:
        """Note that the broker holds nothing under this topic any more."""
        self.topics -= {topic}

    async def save(self, *, at_once: bool = False) -> None:
        """Write the file, in a thread, if it has changed and was not written a moment ago."""
        topics, now_s = self.topics, self._clock()
        if self._path is None or topics == self._saved or not (at_once or now_s - self._saved_s >= _SAVE_S):
            return
        self._saved, self._saved_s = topics, now_s
        content = msgspec.json.encode(SavedTopics(machine=self._machine, topics=topics))
        try:
            await asyncio.get_running_loop().run_in_executor(None, files.write, self._path, content)
        except OSError as error:
            log.warning("cannot save the topics at the broker: %s: %s", self._path, error.strerror)


def read(content: bytes) -> SavedTopics:
    """Parse the file's content. Raises MsgspecError or ValueError if it is damaged."""
    saved = msgspec.json.decode(content, type=SavedTopics)
    for topic in saved.topics:
        if _TOPIC.fullmatch(topic) is None:
            raise ValueError(f"invalid topic {topic[:64]!r}")
    return saved
