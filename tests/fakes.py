"""Fakes for what tests must control: the engine and time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np

from appliance.errors import EngineError
from appliance.flow.inference import Network
from appliance.flow.sizes import Sizes
from appliance.ports import Raw, T, Tensor
from appliance.values import ModelInfo, Size
from appliance.vision import self_test
from appliance.vision.heads import Reader

CLASSES = ("person", "car", "stop sign")

CANARY_ROWS = tuple(
    (sign.box_px.x1 / 2, sign.box_px.y1 / 2 + 12, sign.box_px.x2 / 2, sign.box_px.y2 / 2 + 12, 0.9, 2)
    for sign in self_test.image().signs
)
"""Output of a working engine for the self-test's scene, px of a 640x384 input: the service becomes ready with it."""


class FakeClock:
    """Monotonic time that only moves when a test moves it."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def pass_(self, seconds: float) -> None:
        self.now_s += seconds


class FakeEngine:
    """An Engine with fixed output: rows of (x1, y1, x2, y2, confidence, class) in pixels of the input.

    `error`: inferences raise it.
    """

    name = "fake"
    device = "CPU"
    precision = "f32"

    def __init__(self, rows: Sequence[Sequence[float]] = ((10, 20, 110, 120, 0.9, 2),), slots: int = 2) -> None:
        self.rows = np.array(rows, np.float32).reshape(-1, 6)
        self.slots = slots
        self.error: Exception | None = None
        self._unblocked = threading.Event()
        self._unblocked.set()
        self.prepared: list[Size | None] = []
        self.tensors: list[Tensor] = []
        self.all_cores: list[bool] = []
        self.closed = False

    @property
    def started(self) -> int:
        return len(self.tensors)

    def prepare(self, size: Size | None) -> bool:
        self.prepared.append(size)
        return True

    def ready(self) -> tuple[Size | None, ...]:
        return tuple(self.prepared)

    def drop(self, size: Size | None) -> None:
        self.prepared = [other for other in self.prepared if other != size]

    def infer(self, tensor: Tensor, read: Callable[[Raw], T], *, all_cores: bool = False) -> T:
        self.tensors.append(tensor)
        self.all_cores.append(all_cores)
        self._unblocked.wait(30)
        if self.closed:
            raise EngineError("the engine is closed")
        if self.error is not None:
            raise self.error
        return read((self.rows,))

    def hold(self) -> None:
        """Block inferences until `release`."""
        self._unblocked.clear()

    def release(self) -> None:
        """Unblock waiting and later inferences."""
        self._unblocked.set()

    def close(self) -> None:
        self.closed = True


def fake_network(engine: FakeEngine, name: str = "fake") -> Network:
    """A network with three classes and a fake engine."""
    info = ModelInfo(name, engine.name, engine.device, engine.precision, CLASSES)
    return Network(info, engine, Reader("end_to_end", CLASSES, 0.7, 300), Sizes(engine, 32, None))


def broken_engine() -> EngineError:
    return EngineError("the chip is on fire")
