"""Protocols and callables between rooms. `service/build.py` connects the implementations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from appliance.readings import Reading
from appliance.values import Frame, Outcome, Size

T = TypeVar("T")

Clock = Callable[[], float]
"""Monotonic seconds."""

Publish = Callable[[Frame, Outcome], None]
"""Publishes the one outcome of a frame. Returns at once and never raises."""

ReportLine = Callable[[str], None]
"""Takes one line of output for the person who runs a command."""

Tensor = NDArray[np.uint8]
"""One network input: (height, width, 3), RGB, contiguous."""

Raw = tuple[NDArray[np.floating[Any]], ...]
"""The network's outputs for one input, in their original order and without the batch dimension."""


class Engine(Protocol):
    """Runs one network. All methods are thread-safe."""

    name: str
    device: str
    precision: str
    slots: int
    """Maximum number of concurrent inferences."""

    def prepare(self, size: Size | None) -> bool:
        """Prepare a network for inputs of this size, or of any size (None). Slow the first time only.

        Returns whether it was compiled now; False when it was ready or in the cache of an earlier start. Raises
        EngineError when it cannot run at this size.
        """

    def ready(self) -> tuple[Size | None, ...]:
        """The prepared sizes; None among them: any size."""

    def drop(self, size: Size | None) -> None:
        """Release the network for this size, or the one for any size (None). Running inferences complete."""

    def infer(self, tensor: Tensor, read: Callable[[Raw], T], *, all_cores: bool = False) -> T:
        """Run the network on the calling thread, pass the outputs to `read`, and return its result.

        It uses the network for the tensor's size, in parallel with other calls. Without one, or with `all_cores`, it
        uses the network for any size, which runs one inference at a time and is prepared if necessary. It waits for a
        free slot without the GIL. The outputs are valid only inside `read`. Raises EngineError, and whatever `read`
        raises.
        """

    def close(self) -> None:
        """Wait for running inferences, then release the device."""


@runtime_checkable
class Offloads(Protocol):
    """Part of an engine that runs the network on another machine, and here while that is away."""

    @property
    def problem(self) -> str | None:
        """Why it runs here now, as a sentence; None: it does not."""


class Sensors(Protocol):
    """Reads the device's sensors."""

    def read(self) -> Reading: ...


class ClockCap(Protocol):
    """Caps the clocks of the processor."""

    @property
    def percent(self) -> int:
        """The cap in effect, in percent of the highest clock; 100: none."""

    def ask(self, percent: int) -> None:
        """Ask for this cap; `percent` follows when it is in effect. Returns at once and never raises."""


class Notifier(Protocol):
    """Sends state to the service manager."""

    def notify(self, *assignments: str) -> None:
        """Send one sd_notify(3) message, built with device/systemd.py. Returns at once and never raises."""
