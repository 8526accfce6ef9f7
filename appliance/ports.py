"""What the parts ask of one another. `run.py` decides who answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from appliance.readings import Reading
from appliance.values import Frame, Outcome, Size

T = TypeVar("T")

Clock = Callable[[], float]
"""Monotonic seconds."""

Publish = Callable[[Frame, Outcome], None]
"""Takes a frame's one outcome; returns at once and never raises."""

ReportLine = Callable[[str], None]
"""Takes one line of output for the person who runs a command."""

Tensor = NDArray[np.uint8]
"""One picture as a network takes it: (height, width, 3), RGB, contiguous."""

Raw = tuple[NDArray[np.floating[Any]], ...]
"""A network's outputs for one picture, in its own order and without the batch, as its head expects them."""


class Engine(Protocol):
    """Runs one network. Every method may be called from any thread."""

    name: str
    device: str
    precision: str
    slots: int
    """Inferences that can run at the same time."""

    def prepare(self, size: Size | None) -> bool:
        """Make a network ready for inputs of this size alone, or of any (None); slow the first time, then free.

        Returns whether it was compiled now; else it was ready, or kept since an earlier start.

        Raises EngineError when it cannot run at this size.
        """

    def ready(self) -> tuple[Size | None, ...]:
        """What is prepared now."""

    def drop(self, size: Size | None) -> None:
        """Give up the network of this size, or the one for any (None); what runs on it still ends."""

    def infer(self, tensor: Tensor, read: Callable[[Raw], T], *, all_cores: bool = False) -> T:
        """Run the network on the calling thread and return what `read` makes of its outputs.

        It runs on the network of its size if there is one, side by side with others; else, or with `all_cores`, on the
        one for any size, one at a time, which is prepared first if need be. Waits for its turn without the GIL.
        The outputs are only valid inside `read`. Raises EngineError, and what `read` raises.
        """

    def close(self) -> None:
        """Wait for what is running and release the device."""


class Sensors(Protocol):
    """Reads the machine."""

    def read(self) -> Reading: ...


class Notifier(Protocol):
    """Tells the service manager how we are."""

    def tell(self, *words: str) -> None:
        """One message of sd_notify(3), in the words of device/systemd.py; returns at once and never raises."""
