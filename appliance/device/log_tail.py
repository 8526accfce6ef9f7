"""The last lines of the log, in memory: to download from the page without access to the journal."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from appliance.device.logs import Escaping

KEPT = 1000
"""Lines, about 200 kB."""


class LogTail(logging.Filter):
    """Notes each line that passes a handler's other filters, so that it keeps what the log keeps."""

    def __init__(self, kept: int = KEPT) -> None:
        super().__init__()
        self._lines: deque[str] = deque(maxlen=kept)
        self._format = Escaping("%(asctime)s %(levelname)-7s %(message)s")

    def filter(self, record: logging.LogRecord) -> bool:
        self._lines.append(self._format.format(record))
        return True

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Note lines for the length of the block."""
        handlers = logging.getLogger().handlers[:1]
        for handler in handlers:
            handler.addFilter(self)
        try:
            yield
        finally:
            for handler in handlers:
                handler.removeFilter(self)

    def text(self) -> str:
        """The lines, oldest first."""
        return "".join(f"{line}\n" for line in self._lines)
